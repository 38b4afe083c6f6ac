/** Rules for methods: `methods: { path: { maxFds, kinds } }`. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { runInNewContext } from 'node:vm';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { eventsOf } from '../support/events.js';
import { assertFails, assertFailure, failure } from '../support/failure.js';
import { trackDescriptors } from '../support/fd-table.js';
import { FrameClient } from '../support/frame-peer.js';
import { callHeaders, FRAME, message } from '../support/http2-frames.js';
import { dial, SECURITIES, type Security, serve, type TestClient, testService } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';
import { within } from '../support/until.js';

trackDescriptors();

const END_STREAM = 0x1;

const UNARY = testService.unary.path;

async function served(
  rule: grpcfd.MethodRule,
  handlers: Parameters<typeof serve>[0],
  security: Security = 'plaintext',
): Promise<{ client: TestClient; connections: grpcfd.FdConnection[] }> {
  const connections: grpcfd.FdConnection[] = [];
  const methods = { [UNARY]: rule, [testService.bidi.path]: rule };
  const { address } = await serve(handlers, {
    security,
    options: { methods, onConnection: (connection) => void connections.push(connection) },
  });
  return { client: await dial(address, { security }), connections };
}

/** Calls with so many files, and gives the status. */
async function callWith(
  client: TestClient,
  files: readonly number[],
): Promise<grpc.ServiceError | undefined> {
  using fds = grpcfd.callCredentials();
  const refs = files.map((fd) => fds.sendFd(fd).ref);
  return await client.unary({ refs }, fds.options()).then(
    () => undefined,
    (error: grpc.ServiceError) => error,
  );
}

/** The warnings of this kind that come while `run` runs. */
async function unknownMethods(run: () => Promise<unknown>): Promise<string[]> {
  const seen: string[] = [];
  const note = (warning: Error & { code?: string; detail?: string }) => {
    if (warning.code === 'GRPCFD_UNKNOWN_METHOD') seen.push(`${warning.message}\n${warning.detail}`);
  };
  process.on('warning', note);
  await run();
  // Warnings come in a later turn.
  await setImmediate();
  process.off('warning', note);
  return seen;
}

const nothing = { unary: grpcfd.handler(() => ({})) };

test('a rule for a method that the server does not have is told once, when the first client connects', async () => {
  const typo = UNARY.slice(0, -1);
  const options = { methods: { [typo]: { maxFds: 0 }, [UNARY]: { maxFds: 1 } } };
  let address = '';
  assert.deepEqual(await unknownMethods(async () => ({ address } = await serve(nothing, { options }))), []);
  const seen = await unknownMethods(async () => {
    for (let count = 0; count < 2; count++) await (await dial(address)).unary({});
  });
  assert.equal(seen.length, 1);
  assert.ok(
    seen[0]?.startsWith(`the option methods has rules for ${typo}, which the server does not have\n`),
  );
  assert.ok(seen[0]?.includes(UNARY), seen[0]);
});

test('a rule for a method that is added after bindAsync, or that another server with the same options has, is not told', async () => {
  const later = '/later.Service/Method';
  const other = '/other.Service/Method';
  const options = { methods: { [later]: { maxFds: 1 }, [other]: { maxFds: 1 } } };
  const { server, address } = await serve(nothing, { options });
  const add = (to: grpc.Server, path: string) =>
    to.addService({ method: { ...testService.unary, path } }, { method: nothing.unary });
  add(server, later);
  const second = await serve(nothing, { options });
  add(second.server, other);
  const seen = await unknownMethods(async () => (await dial(address)).unary({}));
  assert.deepEqual(seen, []);
});

for (const security of SECURITIES) {
  test(`${security}: a call with more files than its method takes is refused before its handler, and its files are closed`, async () => {
    let handled = 0;
    const events = eventsOf<grpcfd.FdRefusedEvent>('grpcfd:fd:refused');
    const { client, connections } = await served(
      { maxFds: 1 },
      {
        unary: grpcfd.handler(async (call, fds) => {
          handled++;
          const { refs } = call.request as unknown as { refs: string[] };
          for (const ref of refs) assert.equal(contentOf(await fds.recvFd(ref)), 'the file');
          return {};
        }),
      },
      security,
    );
    const file = fileWith('the file');
    assert.equal(await callWith(client, [file]), undefined);
    assert.equal(await callWith(client, []), undefined);
    assert.equal(handled, 2);
    const error = await callWith(client, [file, file, file]);
    assert.equal(error?.code, grpc.status.RESOURCE_EXHAUSTED);
    assert.equal(error?.details, `${UNARY} takes at most one descriptor, and 3 came with the call`);
    assert.equal(error?.metadata.get('grpcfd-fds').length, 0);
    assert.equal(handled, 2);
    await within(10_000, 'what came is closed', () => connections[0]?.stats().heldFds === 0);
    const stats = connections[0]?.stats();
    assert.deepEqual([stats?.refusedCalls, stats?.receivedFds, stats?.closedFds], [1, 4, 3]);
    assert.deepEqual(
      events.map(({ reason, count }) => [reason, count]),
      [['methods', 3]],
    );
    assert.equal(await callWith(client, [file]), undefined);
    closeSync(file);
    client.grpc.close();
  });

  test(`${security}: a call with a file of a kind that its method does not take is refused before its handler`, async () => {
    let handled = 0;
    const { client } = await served(
      { kinds: ['file', 'memfd'] },
      {
        unary: grpcfd.handler(() => {
          handled++;
          return {};
        }),
      },
      security,
    );
    const file = fileWith('the file');
    const [reading, writing] = native.testing.pipe();
    const error = await callWith(client, [file, reading]);
    assert.equal(error?.code, grpc.status.FAILED_PRECONDITION);
    assert.match(
      error?.details ?? '',
      /takes descriptors of the kind file or memfd, and inode:\S+ is of the kind pipe$/,
    );
    assert.equal(handled, 0);
    using memory = grpcfd.createSharedMemory(10);
    assert.equal(await callWith(client, [file, memory.fd]), undefined);
    for (const fd of [file, reading, writing]) closeSync(fd);
    client.grpc.close();
  });
}

test('a stream whose method takes no descriptors is refused while its client still writes', async () => {
  const { client } = await served({ maxFds: 0 }, { bidi: grpcfd.handler(() => {}) });
  using fds = grpcfd.callCredentials();
  fds.sendFd(0);
  const call = client.bidi(fds.options());
  const ended = new Promise<grpc.StatusObject>((resolve) => call.once('status', resolve));
  call.on('error', () => {});
  call.resume();
  for (let index = 0; index < 50; index++) call.write({ index });
  const { code, details } = await ended;
  assert.equal(code, grpc.status.RESOURCE_EXHAUSTED);
  assert.match(details, /takes no descriptors, and 1 came with the call/);
  client.grpc.close();
});

test('what comes besides is checked when the handler receives it, by ref, by url and with others', async () => {
  const outcomes: unknown[] = [];
  const { client } = await served(
    { maxFds: 2, kinds: 'file' },
    {
      bidi: grpcfd.handler(async (call, fds) => {
        const receive = async (message: Record<string, string>) => {
          const { ref, url, other } = message;
          if (other !== undefined && ref !== undefined) {
            await using _ = await fds.recvFiles({ ref, other }, ['ref', 'other']);
          } else await (await fds.recvFile(ref ?? url ?? '')).close();
        };
        for await (const message of call) {
          outcomes.push(
            await receive(message as Record<string, string>).then(
              () => 'ok',
              (error: unknown) => error,
            ),
          );
          call.write({});
        }
      }),
    },
  );
  using fds = grpcfd.callCredentials();
  const file = fileWith('the file');
  const [reading, writing] = native.testing.pipe();
  const attached = fds.sendFd(file);
  const call = client.bidi(fds.options());
  const say = async (message: Record<string, string>) => {
    call.write(message);
    await new Promise((resolve) => call.once('data', resolve));
    return outcomes.at(-1);
  };
  assert.equal(await say({ ref: attached.ref }), 'ok');
  // A pipe is refused, and does not count.
  assertFailure(
    await say({ ref: fds.sendFd(reading).ref }),
    'ERR_GRPCFD_UNEXPECTED_KIND',
    'FAILED_PRECONDITION',
  );
  assertFailure(
    await say({ url: fds.sendFd(reading).url }),
    'ERR_GRPCFD_UNEXPECTED_KIND',
    'FAILED_PRECONDITION',
  );
  const second = fileWith('second');
  const third = fileWith('third');
  assert.equal(await say({ ref: fds.sendFd(second).ref }), 'ok');
  const tooMany = await say({ url: fds.sendFd(third).url });
  assert.match(
    assertFailure(tooMany, 'ERR_GRPCFD_TOO_MANY_DESCRIPTORS', 'RESOURCE_EXHAUSTED').details,
    /takes at most 2 descriptors, and this would be number 3 of the call/,
  );
  const both = { ref: fds.sendFd(third).ref, other: fds.sendFd(file).ref };
  assertFailure(await say(both), 'ERR_GRPCFD_TOO_MANY_DESCRIPTORS', 'RESOURCE_EXHAUSTED');
  call.end();
  for (const fd of [file, second, third, reading, writing]) closeSync(fd);
  client.grpc.close();
});

test('a client that goes on after its call was refused has the status first, and its stream is reset later', async () => {
  const connections: grpcfd.FdConnection[] = [];
  const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection);
  const { address } = await serve(
    { bidi: grpcfd.handler(() => assert.fail('the handler runs')) },
    { options: { methods: { [testService.bidi.path]: { maxFds: 0 } }, onConnection } },
  );
  const client = await FrameClient.connect(address);
  await client.first(FRAME.SETTINGS);
  const file = fileWith('the file');
  client.sendFds([file]);
  client.write(
    callHeaders(1, testService.bidi.path, { 'grpcfd-fds': `id;a.0.1.${native.inode(file)}` }),
    message(1, {}, false),
  );
  closeSync(file);
  const { flags } = await client.first(FRAME.HEADERS);
  assert.ok((flags & END_STREAM) !== 0);
  assert.equal(connections[0]?.stats().heldFds, 0);
  client.write(message(1, {}, false));
  const { payload } = await client.first(FRAME.RST_STREAM);
  assert.equal(payload.readUInt32BE(), 0);
});

test('a method without a rule, and one that does not exist, are as ever', async () => {
  const { client } = await served({ maxFds: 0 }, { serverStream: grpcfd.handler(() => {}) });
  using fds = grpcfd.callCredentials();
  fds.sendFd(0);
  const call = client.serverStream({}, fds.options());
  call.resume();
  const status = await new Promise<grpc.StatusObject>((resolve) => call.once('status', resolve));
  assert.equal(status.code, grpc.status.OK);
  assert.equal(((await failure(client.unary({}))) as grpc.ServiceError).code, grpc.status.UNIMPLEMENTED);
  client.grpc.close();
});

test('rules may have no prototype, or that of another realm', () => {
  const bare = Object.assign(Object.create(null), { [UNARY]: { maxFds: 0 } });
  grpcfd.serverCredentials(undefined, { methods: bare });
  const foreign = runInNewContext('({ "/a.B/C": { maxFds: 0, kinds: "file" } })');
  grpcfd.serverCredentials(undefined, { methods: foreign });
});

test('rules that are no such are refused', async () => {
  for (const [methods, text] of [
    [{ Unary: {} }, /a key of methods must be a path/],
    [{ [UNARY]: { maxFds: -1 } }, /maxFds must be/],
    [{ [UNARY]: { kinds: 'fifo' } }, /kind must be one of/],
    [{ [UNARY]: { maxFd: 1 } }, /"maxFd" is not an option/],
    [7, /methods must be a plain object/],
    [[], /methods must be a plain object/],
    [new Map([[UNARY, { maxFds: 0 }]]), /methods must be a plain object/],
    [Object.create({ [UNARY]: { maxFds: 0 } }), /methods must be a plain object/],
    [Object.create(Object.create(null, { [UNARY]: { value: {} } })), /methods must be a plain object/],
    [{ [UNARY]: [] }, /the rule of \/grpcfd\.test\.Test\/Unary must be a plain object/],
    [{ [UNARY]: new Map([['maxFds', 0]]) }, /the rule of \S+ must be a plain object/],
    [{ [UNARY]: { kinds: [] } }, /maxFds: 0 refuses all descriptors/],
  ] as [unknown, RegExp][]) {
    const run = async () => grpcfd.serverCredentials(undefined, { methods } as never);
    assert.match((await assertFails(run(), 'ERR_GRPCFD_INVALID_ARGUMENT', 'INVALID_ARGUMENT')).details, text);
  }
});
