/** A status whose text does not fit into trailers would leave its call, and those behind it, without an answer. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { MAX_STATUS_BYTES } from '#src/error-text.js';
import { failure } from '../support/failure.js';
import { trackDescriptors } from '../support/fd-table.js';
import { KINDS, type Kind } from '../support/kinds.js';
import { dial, type Message, serve, type TestClient } from '../support/service.js';

trackDescriptors();

const LONG = 'x'.repeat(100_000);

/** A call ends within milliseconds, or it hangs. */
const soon = () => ({ deadline: Date.now() + 10_000 });

function assertFits({ code, details }: grpc.ServiceError, expected: grpc.status, what: string): void {
  assert.deepEqual([what, grpc.status[code]], [what, grpc.status[expected]], details.slice(0, 100));
  assert.ok(encodeURI(details).length <= MAX_STATUS_BYTES, `${what}: ${details.length}`);
}

/** The functions that quote a text of the peer. */
const OPERATIONS: Record<string, (fds: grpcfd.FdServerCall, text: string) => unknown> = {
  recvFd: (fds, text) => fds.recvFd(text),
  recvFile: (fds, text) => fds.recvFile(text),
  'recvFd of a URL object': (fds, text) => fds.recvFd(new URL(`inode://1/${text}`)),
  recvFiles: (fds, text) => fds.recvFiles({ field: text }, ['field']),
  forward: (fds, text) => fds.forward(fds, text),
  timeoutMs: (fds, text) => fds.recvFd('inode://1/1', { timeoutMs: text as unknown as number }),
  sendFd: (fds, text) => fds.sendFd(text as unknown as number),
  sendFile: (fds, text) => fds.sendFile({ fd: [text] as unknown as number }),
  sendFilename: (fds, text) => fds.sendFilename(text),
  flags: (fds, text) => fds.sendFilename('/dev/null', { flags: text }),
  urlToDevIno: (_, text) => grpcfd.urlToDevIno(text),
  fdToUrl: (_, text) => grpcfd.fdToUrl(text as unknown as number),
  filenameToUrl: (_, text) => grpcfd.filenameToUrl(text),
  createSharedMemory: (_, text) => grpcfd.createSharedMemory(text as unknown as number),
  'the name of shared memory': (_, text) => grpcfd.createSharedMemory(1, { name: text }).close(),
  'shared memory that was closed': (_, text) => {
    const memory = grpcfd.createSharedMemory(1, { name: text.slice(0, 80) });
    memory.close();
    return memory.bytes;
  },
};

const TEXTS = [
  `fd:${LONG}`,
  `fd:a:${LONG}`,
  `fd:${'a'.repeat(64)}:${'9'.repeat(15)}`,
  `inode://${LONG}`,
  `inode://1/${'9'.repeat(100_000)}`,
  `/${LONG}`,
  `/${'漢'.repeat(1_000)}`,
  `fd:\u0000\ud800é\n\u202e${LONG}`,
];

test('An error that quotes a text of the peer reaches the peer, whatever the length and the characters of the text', async () => {
  const reached = new Set<string>();
  const operate = async (call: { readonly request: Message }) => {
    const { operation, text } = call.request;
    reached.add(String(operation));
    await OPERATIONS[String(operation)]?.(grpcfd.fromCall(call), String(text));
  };
  const { address } = await serve({
    // A plain handler, because handler() cuts the text of any error.
    unary: (call, callback) => {
      operate(call).then(
        () => callback(null, {}),
        (error: grpcfd.GrpcFdError) => {
          assert.ok(error instanceof grpcfd.GrpcFdError, String(error).slice(0, 1000));
          // The text is cut where it is quoted, not by GrpcFdError as the last resort.
          assert.ok(error.details.length < 1_000, error.details);
          callback(error);
        },
      );
    },
  });
  const client = await dial(address);
  for (const operation of Object.keys(OPERATIONS)) {
    for (const text of TEXTS) {
      const answer = await client
        .unary({ operation, text }, soon())
        .catch((error: grpc.ServiceError) => error);
      // Some of these texts are valid file names.
      if (!(answer instanceof Error)) continue;
      const what = `${operation} ${text.slice(0, 10)}`;
      assertFits(answer, answer.code, what);
      assert.notEqual(answer.code, grpc.status.DEADLINE_EXCEEDED, what);
      assert.doesNotMatch(answer.details, /[\p{Cc}\p{Cf}]/u, what);
    }
  }
  assert.equal(reached.size, Object.keys(OPERATIONS).length);
});

const THROWN: readonly [what: string, thrown: () => unknown, code: grpc.status][] = [
  ['an Error', () => new Error(LONG), grpc.status.UNKNOWN],
  ['an Error in Chinese', () => new Error('漢'.repeat(30_000)), grpc.status.UNKNOWN],
  ['halves of surrogate pairs', () => new Error('\ud800'.repeat(30_000)), grpc.status.UNKNOWN],
  ['a string', () => LONG, grpc.status.UNKNOWN],
  ['a status', () => ({ code: grpc.status.NOT_FOUND, details: LONG }), grpc.status.NOT_FOUND],
  ['a frozen status', () => Object.freeze({ code: 5, details: LONG }), grpc.status.NOT_FOUND],
  ['a status by its message', () => ({ code: grpc.status.NOT_FOUND, message: LONG }), grpc.status.NOT_FOUND],
  ['a message that is an array', () => ({ code: 5, message: [LONG] }), grpc.status.NOT_FOUND],
  [
    'an Error with a status',
    () => Object.assign(new Error(LONG), { code: grpc.status.ABORTED, details: LONG }),
    grpc.status.ABORTED,
  ],
  [
    'a failed syscall',
    () => Object.assign(new Error(`ENOENT: no such file, open '${LONG}'`), { code: 'ENOENT' }),
    grpc.status.NOT_FOUND,
  ],
];

async function callOf(kind: Kind, client: TestClient): Promise<unknown> {
  if (kind === 'unary') return client.unary({}, soon());
  if (kind === 'clientStream') {
    const { call, reply } = client.clientStream(soon());
    call.end({});
    return reply;
  }
  const call = kind === 'serverStream' ? client.serverStream({}, soon()) : client.bidi(soon());
  if (call instanceof Duplex) call.end({});
  call.resume();
  return once(call, 'end');
}

for (const kind of KINDS) {
  test(`${kind}: a status that a handler throws fits into trailers, whatever its text`, async () => {
    let thrown: () => unknown = () => undefined;
    const fail = () => {
      throw thrown();
    };
    const { address } = await serve({
      unary: grpcfd.handler(fail),
      clientStream: grpcfd.handler(fail),
      serverStream: grpcfd.handler((call: grpc.ServerWritableStream<Message, Message>) => {
        // After a message, the status is in the trailers; without a message, it is in the response headers.
        call.write({});
        fail();
      }),
      bidi: grpcfd.handler(fail),
    });
    const client = await dial(address);
    for (const [what, thrownHere, code] of THROWN) {
      thrown = thrownHere;
      assertFits((await failure(callOf(kind, client))) as grpc.ServiceError, code, what);
    }
  });
}
