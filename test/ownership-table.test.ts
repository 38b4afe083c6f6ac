/** Each row of the table "Ownership" of docs/architecture.md has tests, which stand here by their titles. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { textOf } from './support/page.js';

/** For the first cell of each row: files in test/, and how the titles of their tests begin or go on. */
const TESTS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'a client connection starts': {
    'grpc/internals/connected-socket': ['a connected unix socket is known, and can be taken over'],
  },
  "a socket is handed over: `connect()`, `serveConnection()`, `fd:N`, `bindAsync('fd:N')`": {
    'grpc/fd-connect': [
      "What connect() gives is refused, and stays its owner's",
      'what it gives after the close is closed',
    ],
    'grpc/serve-connection': ['What cannot be served is refused, and stays its owner’s'],
    'grpc/fd-inherited': ['is used up, and no other socket of that number is adopted'],
    'grpc/bind-inherited': ['What does not listen is refused, and stays its owner’s'],
  },
  'a connection is open': {
    'grpc/internals/bridged-socket': ['the end of the peer closes the session and the stream'],
    'grpc/counts': ['1,000 connections in succession each carry a call'],
  },
  '`sendFd(fd)`, `sendFile(file)`': {
    'grpc/duplicates': ['the right file arrives even if the caller closes its descriptor'],
    'grpc/memory': ['Unused credentials that are garbage collected close their files'],
  },
  '`sendFilename(path)`': {
    'grpc/duplicates': ['What sendFilename opened is closed when it has been sent'],
  },
  '`openFile(path)` resolved': {
    'descriptor/open-in-thread': [
      'opens a file to read by default, and gives what owns it',
      'ends at a signal, stops no other work',
    ],
  },
  '`openIn()`, `reopen()` of a `ReceivedFile` resolved': {
    'descriptor/open-in': [
      'opens what is in a directory',
      'ends at a signal and at close(), and then closes what it opened',
    ],
    'descriptor/received-file': ['Reopening gives a blocking open file unless O_NONBLOCK is asked for'],
  },
  '`connect()` of a `ReceivedFile` resolved': {
    'descriptor/dial': [
      'dials a socket file, also when its name is gone',
      'gives up a full backlog at a signal',
    ],
  },
  'a descriptor is attached': {
    'grpc/reconnects': [
      'The first response headers of a stream release its attachments',
      'A file that two calls carry is kept until neither call can have another attempt',
      'A call that is cancelled before it got a connection releases its file',
    ],
    'grpc/memory': ['Closing unused credentials closes their files at once'],
  },
  'a descriptor is sent while calls with its credentials run': {
    'references/late': [
      'each hedged attempt on one connection gets',
      'when one of two attempts has won, what is sent goes with that one alone',
      'what is sent between two attempts goes with the next one',
    ],
  },
  'a descriptor is queued on a connection': {
    'grpc/reconnects': ['A descriptor that is sent on a closed connection is refused'],
    'socket/bridged-stream-close': ['a descriptor that waits for bytes settles when the socket closes'],
    'grpc/before-handshake': ['a client sends no descriptor before the handshake has ended'],
  },
  'the kernel refuses a descriptor': {
    'references/kernel-refuses': [
      'from a handler: sent rejects, and so does the client',
      'a placeholder is known',
    ],
  },
  'a descriptor came in': { 'inbox/property': ['An inbox agrees with a plain model'] },
  'it is claimed (at a server)': {
    'references/untaken': [
      'A descriptor that the handler did not receive is closed when the handler fails',
      'is closed when the client cancels',
      'is closed when the client is killed',
      'A descriptor that arrived for a method that does not exist',
    ],
    'grpc/ended-before-handler': ['lets go of its descriptors at once'],
  },
  'it is idle, a call has received it by URL and has ended, and the table is about full': {
    'inbox/held-total': [
      'what ended calls have received by inode is closed, the least recently used first, and nothing else',
      'the account that has the most of them loses, over all credentials',
    ],
  },
  'it is idle (at a client, always)': {
    'references/untaken': [
      'the newest maxHeldFds are held',
      'is held for holdMs',
      'A descriptor that arrived with a reply is closed when the connection closes',
    ],
    'grpc/inode-clients': [
      'of a file that a client of another library sends again and again, the newest descriptor is held',
      'calls and receives do not prove that an earlier descriptor',
    ],
    'grpc/held-after-receive': [
      'what was not received is closed when the last credentials that could name it are',
    ],
  },
  'it is idle at a client, and the server has told that it sent it in a call': {
    'grpc/assigned': [
      'what nobody received is closed with the credentials of its call, while others have calls',
      'what came for a call with two credentials is closed when both are done',
      'a call that is cancelled tells what it sent before its headers',
    ],
  },
  'it came before the TLS handshake had ended': {
    'grpc/before-handshake': [
      'descriptors of a peer in the handshake, and waits fail when more come',
      'what a server holds of a peer is closed when its handshake fails',
    ],
  },
  'more than `maxFdsPerCall` are attached to a call, over all its credentials': {
    'grpc/fds-per-call': ['a call whose credentials have too many descriptors in all fails'],
  },
  'it is above `maxFdsPerCall` of a call that came in': {
    'references/handed-over': ['of five descriptors with maxFdsPerCall 2, two are there'],
  },
  "it is the peer's own end of the connection": {
    'grpc/own-end': ['a client that sends its own end of the connection'],
  },
  '`recvFd(ref)` resolved': {
    'grpc/held-after-receive': ['what was received by ref is held no more, and close() does not touch it'],
    'references/handed-over': ['a second receive by ref fails'],
  },
  '`recvFd(url)`, or `recvFd(ref, { keep: true })`, resolved': {
    'grpc/held-after-receive': ['close() has the connection let go of what was received'],
    'references/handed-over': ['with keep, a handler forwards one descriptor to two backends'],
  },
  'a receive fails because the kernel does not tell what the descriptor is, or has no number for a duplicate':
    {
      'grpc/failing-syscalls': ['and the file can still be received'],
    },
  'a descriptor is not what `expect` asks for': {
    'grpc/expect': ['fails with a pipe to write to', 'leaves a descriptor that it was to keep'],
  },
  'a wait or a URL in `recvFiles` fails, or a file of it is not as expected': {
    'grpc/expect': ['closes all descriptors of a message if one of them is not as expected'],
    'references/several': [
      'fails at the first failure, withdraws the other wait, and closes what had come',
      'fails when a wait fails later, and withdraws and closes as well',
      'looks at every ref before it moves any',
    ],
  },
  '`recvFile`, `recvFiles`, `received()` resolved': {
    'descriptor/received-file': [
      'close() closes once, and later operations fail',
      'A received file that is garbage collected unclosed is closed with one warning',
    ],
    'references/collisions': ['recvFiles() receives all files or none, and closes them together'],
  },
  '`release()` of a `ReceivedFile`': {
    'descriptor/received-file': ['release() gives the descriptor to the caller for good'],
  },
  '`toSocket()`, `toFdSocket()`, `toServer()`, `toDatagramSocket()`': {
    'descriptor/take-over': [
      'Nothing but a socket is taken over, and the file is as before',
      'With a full descriptor table nothing is taken over, and it can be tried again',
    ],
  },
  '`sendFile()` of a socket or server of Node.js': {
    'grpc/sendable': ['A socket can be destroyed as soon as it was sent: its peer does not notice'],
  },
  '`forward(from, name)`': {
    'references/forward': ['loses no descriptor that it cannot send on, and holds none that it has sent on'],
  },
  '`createEventFd`, `toEventFd`': {
    'descriptor/event-fd': [
      'is taken over: its file counts as released, and what waited for it ends',
      'is not made of something else, which stays with its owner',
      'that is garbage collected unclosed is closed with a warning',
      'is closed before a worker ends by itself',
    ],
    'descriptor/crashes': ['What is closed twice, after its number has become that of another file'],
  },
  '`createSharedMemory`': {
    'descriptor/shared-memory': ['Shared memory that is garbage collected unclosed is closed with a warning'],
    'grpc/shared-memory': ['A receiver maps memory that the sending process cannot truncate'],
  },
  '`map()`': {
    'descriptor/shared-memory': [
      'After close(), a view is empty and its memory is unmapped',
      'A mapping that is garbage collected is unmapped when no view of it is left',
    ],
  },
  "`'fds'` of an `FdSocket`": {
    'socket/fd-socket': [
      'Received descriptors belong to the listener',
      'Descriptors are closed when the fds event has no listener',
    ],
    'socket/ends': ['a listener that throws loses neither the bytes'],
  },
  'a worker is terminated': {
    'socket/worker': ['Terminating a worker closes all its descriptors in the scenario'],
    'descriptor/shared-memory': ['Terminating a worker unmaps its mappings'],
  },
};

const [, section = ''] = textOf('docs/architecture.md').split('## Ownership\n');
const rows = [...(section.split('\n## ')[0] ?? '').matchAll(/^\| (.+?) \| .* \|$/gm)].map(
  ([, cell = '']) => cell,
);

test('each row of the table of ownership has tests, and no other', () => {
  const [head, rule, ...cells] = rows;
  assert.deepEqual([head, rule], ['when', '---']);
  assert.deepEqual(cells, Object.keys(TESTS));
});

for (const [row, files] of Object.entries(TESTS)) {
  test(`the tests of "${row}" are there`, () => {
    for (const [file, titles] of Object.entries(files)) {
      const text = textOf(`test/${file}.test.ts`);
      for (const title of titles) assert.ok(text.includes(title), `${file}: ${title}`);
    }
  });
}
