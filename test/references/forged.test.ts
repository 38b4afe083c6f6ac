import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { trackDescriptors } from '../support/fd-table.js';
import { Gate } from '../support/gate.js';
import { type Message, serve } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';
import { RawClient } from './raw-client.js';

trackDescriptors();

const CONNECTION = 'connection';
const OK = 'content';

/** A server that replies with the outcome of each receive, and a client that can send any metadata about its descriptors. */
async function forgery(options?: grpcfd.FdServerOptions) {
  const gate = new Gate();
  const { address } = await serve(
    {
      unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
        if (call.request['wait'] === true) await gate.wait();
        const names = call.request['names'] as string[];
        const outcomes = names.map((name) => fds.recvFd(name, { keep: true }).then(contentOf, reasonOf));
        return {
          outcomes: await Promise.all(outcomes),
          received: await countReceived(fds).catch(reasonOf),
          metadata: Object.keys(call.metadata.getMap()),
        };
      }),
    },
    options === undefined ? {} : { options },
  );
  const client = await RawClient.connect(address);
  let sequence = 0;
  /** Sends a new file, and returns its true sequence number and inode. */
  const send = (content = OK) => {
    const fd = fileWith(content);
    const inode = grpcfd.fdToUrl(fd).slice('inode://'.length);
    void client.socket.sendFd(fd);
    closeSync(fd);
    sequence++;
    return { sequence, inode };
  };
  const ask = async (metadata: string | string[], names: string[], more: Message = {}) => {
    const reply = await client.unary({ names, ...more }, { 'grpcfd-fds': metadata, own: 'metadata' });
    assert.deepEqual(reply['metadata'], ['own']);
    return reply as { outcomes: string[]; received: number | string };
  };
  const honest = async () => {
    const { sequence, inode } = send();
    const entries = `${CONNECTION};honest.0.${sequence}.${inode}`;
    const { outcomes, received } = await ask(entries, ['fd:honest:0']);
    assert.deepEqual([outcomes, received], [[OK], 1]);
  };
  return { address, client, gate, send, ask, honest };
}

const reasonOf = (error: grpcfd.GrpcFdError) => error.reason;

async function countReceived(fds: grpcfd.FdServerCall): Promise<number> {
  let count = 0;
  for await (const file of fds.received()) {
    await file.close();
    count++;
  }
  return count;
}

const MALFORMED = {
  'is empty': '',
  'has no connection': ';a.0.1.1/1',
  'has an invalid connection id': 'not good!',
  'has an empty entry': `${CONNECTION};`,
  'has half an entry': `${CONNECTION};a.0.1`,
  'has an inode that is too long': `${CONNECTION};a.0.1.1/1/1`,
  'has a negative index': `${CONNECTION};a.-1.1.1/1`,
  'has a sequence number that is not a number': `${CONNECTION};a.0.one.1/1`,
  'has a sequence number of many digits': `${CONNECTION};a.0.${'9'.repeat(40)}.1/1`,
  'has an inode without its device': `${CONNECTION};a.0.1.1/1.1`,
  'ends in the middle': `${CONNECTION};a.0.1.1/1;b.`,
};

for (const [what, value] of Object.entries(MALFORMED)) {
  test(`Metadata that ${what} fails only receives that depend on it`, async () => {
    const { send, ask, honest } = await forgery();
    await honest();
    send();
    const { outcomes, received } = await ask(value, ['fd:a:0', 'fd:elsewhere:1']);
    const reason = 'ERR_GRPCFD_REFERENCE_MISMATCH';
    assert.deepEqual([outcomes, received], [[reason, reason], reason]);
    assert.deepEqual((await ask(value, [])).outcomes, []);
    await honest();
  });
}

test('Each false entry fails alone, and a true entry among them works', async () => {
  const { send, ask, honest } = await forgery();
  await honest();
  const one = send('one');
  const other = send('other');
  const entries = [
    `a.0.${one.sequence}.${other.inode}`,
    `a.1.${other.sequence}.${other.inode}`,
    `a.2.${other.sequence + 1}.${other.inode}`,
    `a.3.${Number.MAX_SAFE_INTEGER % 1e15}.1/1`,
    `a.4.0.${one.inode}`,
    `a.5.${one.sequence}.${'9'.repeat(20)}/1`,
  ];
  const names = entries.map((_, index) => `fd:a:${index}`);
  const { outcomes, received } = await ask([CONNECTION, ...entries].join(';'), names);
  assert.deepEqual(outcomes, [
    'ERR_GRPCFD_REFERENCE_MISMATCH',
    'other',
    'ERR_GRPCFD_NOT_FOUND',
    'ERR_GRPCFD_NOT_FOUND',
    'ERR_GRPCFD_NOT_FOUND',
    'ERR_GRPCFD_REFERENCE_MISMATCH',
  ]);
  assert.equal(received, 'ERR_GRPCFD_REFERENCE_MISMATCH');
  await honest();
});

test('A file whose file system does not tell its inode, such as FUSE to other users, fails only receives of that file', async (t) => {
  const { client, send, ask, honest } = await forgery();
  await honest();
  const files = [send('one'), send('untold'), send('two')];
  const { look } = native;
  t.mock.method(native, 'look', (fds: readonly number[]) =>
    look(fds).map((each) => (each.inode === files[1]?.inode ? { ...each, inode: '0/0' } : each)),
  );
  const entries = files.map(({ sequence, inode }, index) => `a.${index}.${sequence}.${inode}`);
  const { outcomes } = await ask([CONNECTION, ...entries].join(';'), ['fd:a:0', 'fd:a:1', 'fd:a:2']);
  assert.deepEqual(outcomes, ['one', 'ERR_GRPCFD_REFERENCE_MISMATCH', 'two']);
  t.mock.restoreAll();
  await honest();
  assert.equal(client.alive, true);
});

test('A call cannot claim a descriptor that belongs to another running call', async () => {
  const { client, gate, send, ask, honest } = await forgery();
  const { sequence, inode } = send('private');
  const metadata = `${CONNECTION};a.0.${sequence}.${inode}`;
  const owner = ask(metadata, ['fd:a:0'], { wait: true });
  await gate.reached;
  const names = ['fd:a:0', `fd:${CONNECTION}c:${sequence}`];
  assert.deepEqual((await ask(metadata, names)).outcomes, ['ERR_GRPCFD_NOT_FOUND', 'ERR_GRPCFD_NOT_FOUND']);
  gate.open();
  assert.deepEqual((await owner).outcomes, ['private']);
  // Its handler has received it.
  const { outcomes } = await ask(metadata, names);
  assert.deepEqual(outcomes, ['ERR_GRPCFD_ALREADY_RECEIVED', 'ERR_GRPCFD_ALREADY_RECEIVED']);
  await honest();
  assert.equal(client.alive, true);
});

test('Metadata of another connection, which a relay passed on, names no descriptor', async () => {
  const { send, ask, honest } = await forgery();
  await honest();
  const { sequence, inode } = send();
  const relayed = `other-one;a.0.${sequence}.${inode}`;
  const { outcomes, received } = await ask(relayed, ['fd:a:0', 'fd:other-onec:1']);
  const reason = 'ERR_GRPCFD_WRONG_CONNECTION';
  assert.deepEqual([outcomes, received], [[reason, reason], reason]);
  await honest();
});

test('When a relay put a copy before the metadata of the client, the metadata of the client counts', async () => {
  const { send, ask, honest } = await forgery();
  await honest();
  const { sequence, inode } = send();
  const own = `${CONNECTION};a.0.${sequence}.${inode}`;
  assert.deepEqual((await ask([`other-one;b.0.1.1.1`, own], ['fd:a:0'])).outcomes, [OK]);
  await honest();
});

test('Invented references name no descriptor', async () => {
  const { ask, honest } = await forgery();
  await honest();
  const names = [
    'fd:connections:1',
    'fd:connectionc:0',
    'fd:connectionc:2',
    'fd:connection:1',
    'fd:honest:0',
  ];
  assert.deepEqual((await ask(CONNECTION, names)).outcomes, [
    'ERR_GRPCFD_WRONG_CONNECTION',
    'ERR_GRPCFD_NOT_FOUND',
    'ERR_GRPCFD_NOT_FOUND',
    'ERR_GRPCFD_WRONG_CONNECTION',
    'ERR_GRPCFD_WRONG_CONNECTION',
  ]);
  await honest();
});

test('of more entries than a call may have, those above the limit are closed, and say why', async () => {
  const { send, ask, honest } = await forgery({ maxFdsPerCall: 2 });
  const sent = ['a', 'b', 'c', 'd'].map(send);
  const entries = sent.map(({ sequence, inode }, index) => `a.${index}.${sequence}.${inode}`);
  const names = entries.map((_, index) => `fd:a:${index}`);
  const metadata = [CONNECTION, ...entries].join(';');
  const [above, gone] = ['ERR_GRPCFD_TOO_MANY_DESCRIPTORS', 'ERR_GRPCFD_ALREADY_RECEIVED'];
  const { outcomes, received } = await ask(metadata, names);
  assert.deepEqual([outcomes, received], [['a', 'b', above, above], above]);
  // The first call received two; of the others, none is there to claim.
  assert.deepEqual((await ask(metadata, names)).outcomes, [gone, gone, above, above]);
  await honest();
});

test('Metadata of the largest size that HTTP/2 accepts leaves nothing behind', async () => {
  const { ask, honest } = await forgery();
  const entries = Array.from({ length: 2_500 }, (_, index) => `a.${index}.${index + 1}.1/${index}`);
  const run = `a.0.1${'.1/1'.repeat(2_500)}`;
  for (const metadata of [entries.join(';'), run]) {
    const { outcomes } = await ask(`${CONNECTION};${metadata}`, ['fd:a:0', 'fd:a:2499']);
    assert.deepEqual(outcomes, ['ERR_GRPCFD_NOT_FOUND', 'ERR_GRPCFD_NOT_FOUND']);
  }
  await honest();
});

test('Metadata above the largest size that HTTP/2 accepts ends the connection of its sender, and no other', async () => {
  const { address, ask, honest, send } = await forgery();
  const other = await RawClient.connect(address);
  await honest();
  send();
  await assert.rejects(ask(`${CONNECTION};${'x'.repeat(200_000)}`, []), { code: 'ERR_HTTP2_STREAM_ERROR' });
  assert.deepEqual((await other.unary({ names: [] }, {}))['outcomes'], []);
});
