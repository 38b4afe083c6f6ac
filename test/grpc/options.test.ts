import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { dial, type Message, serve, withResolvers } from '../support/service.js';
import { fileWith } from '../support/temporary.js';

trackDescriptors();

const receiving = { unary: grpcfd.handler(async (): Promise<Message> => ({})) };

/** The wrong values of an option, and the text that begins the error. */
type Wrong = readonly [name: string, values: readonly unknown[], text: RegExp];

const LIMITS = ['maxHeldFds', 'maxFdsPerCall', 'holdMs', 'maxPendingReceives'].map(
  (name): Wrong => [
    name,
    [0, -1, 1.5, Number.NaN, -Infinity, '1', 1n, null, {}],
    new RegExp(`^${name} must be a positive integer or Infinity, not `),
  ],
);

const CONNECTION: readonly Wrong[] = [
  ...LIMITS,
  ['onConnection', [1, 'f', {}, null, true], /^onConnection must be a function, not /],
  ['maxheldfds', [1, undefined], /^"maxheldfds" is not an option: the options are maxHeldFds, /],
];

const SERVER: readonly Wrong[] = [
  ...CONNECTION,
  ['mode', [-1, 0o10000, 1.5, '0600', null], /^mode must be an integer from 0 to 0o7777, not /],
  ['uid', [-1, 2 ** 32 - 1, 0.5, 'root', null], /^uid must be an integer from 0 to 4294967294, not /],
  ['gid', [-1, 2 ** 32 - 1, 0.5, 'root', null], /^gid must be an integer from 0 to 4294967294, not /],
  ['backlog', [-1, 2 ** 31, 0.5, '9', null], /^backlog must be an integer from 0 to 2147483647, not /],
];

const RECEIVE: readonly Wrong[] = [
  ['signal', [1, {}, null, new AbortController()], /^signal must be an AbortSignal, not /],
  ['timeoutMs', [0, -1, Number.NaN, Infinity, 2 ** 31, '9', null], /^timeoutMs must be above 0 and at most /],
  ['timeout', [9], /^"timeout" is not an option: the options are signal, timeoutMs, keep$/],
];

function refused(details: RegExp) {
  return { name: 'GrpcFdError', reason: 'ERR_GRPCFD_INVALID_ARGUMENT', code: 3, details };
}

function throwsFor(wrong: readonly Wrong[], give: (options: object) => unknown): void {
  for (const [name, values, text] of wrong) {
    for (const value of values) assert.throws(() => give({ [name]: value }), refused(text));
  }
  for (const options of [null, 1, 'x']) {
    assert.throws(() => give(options as never), refused(/^options must be an object, not /));
  }
}

async function rejectsFor(
  wrong: readonly Wrong[],
  give: (options: object) => Promise<unknown>,
): Promise<void> {
  for (const [name, values, text] of wrong) {
    for (const value of values) await assert.rejects(give({ [name]: value }), refused(text));
  }
  for (const options of [null, 1]) {
    await assert.rejects(give(options as never), refused(/^options must be an object, not /));
  }
}

test('credentials refuse wrong options', () => {
  throwsFor(CONNECTION, (options) => grpcfd.channelCredentials(undefined, options));
  throwsFor(SERVER, (options) => grpcfd.serverCredentials(undefined, options));
  for (const inner of [{}, null, { holdMs: 1 }]) {
    const text = /takes the credentials to wrap/;
    assert.throws(() => grpcfd.channelCredentials(inner as never), refused(text));
    assert.throws(() => grpcfd.serverCredentials(inner as never), refused(text));
    assert.throws(() => grpcfd.callCredentials(inner as never), refused(/^inner must be a CallCredentials /));
  }
});

test('credentials take the limits of each range, and options that are undefined', () => {
  const least = { maxHeldFds: 1, maxFdsPerCall: 1, holdMs: 1, maxPendingReceives: 1 };
  const most = {
    maxHeldFds: Infinity,
    maxFdsPerCall: Infinity,
    holdMs: Infinity,
    maxPendingReceives: Infinity,
  };
  for (const options of [least, most, { holdMs: undefined, onConnection: undefined }]) {
    grpcfd.channelCredentials(undefined, options);
    grpcfd.serverCredentials(undefined, { ...options, mode: 0, uid: 0, gid: 0, backlog: 0 });
    grpcfd.serverCredentials(undefined, { ...options, mode: 0o7777, uid: 2 ** 32 - 2, backlog: 2 ** 31 - 1 });
  }
});

test('receives refuse wrong options, and wrong arguments', async () => {
  const fds = grpcfd.callCredentials();
  defer(() => fds.close());
  const name = 'inode://1/1';
  await rejectsFor(RECEIVE, (options) => fds.recvFd(name, options));
  await rejectsFor(RECEIVE, (options) => fds.recvFile(name, options));
  await rejectsFor(RECEIVE, (options) => fds.recvFiles({ name }, ['name'], options));
  await rejectsFor(RECEIVE, (options) => grpcfd.callCredentials().forward(fds, name, options));
  for (const message of [null, undefined, 'x']) {
    await assert.rejects(
      fds.recvFiles(message as never, ['name'] as never),
      refused(/^message must be an object/),
    );
  }
  for (const fields of [undefined, 'name', [1]]) {
    await assert.rejects(
      fds.recvFiles({ name }, fields as never),
      refused(/^fields must be an array of names/),
    );
  }
  for (const from of [undefined, {}, grpc.credentials.createEmpty()]) {
    await assert.rejects(fds.forward(from as never, name), refused(/^from must be what fromCall/));
  }
});

test('sends refuse wrong options, and wrong arguments', () => {
  const fds = grpcfd.callCredentials();
  defer(() => fds.close());
  const flags: Wrong = [
    'flags',
    ['rw', 'toString', 1.5, null, {}],
    /^flags must be a number of fs.constants or one of r, /,
  ];
  throwsFor([flags, ['mode', [1], /^"mode" is not an option/]], (options) =>
    fds.sendFilename('/dev/null', options),
  );
  for (const [file, text] of [
    [undefined, /^a file descriptor is a non-negative integer, not undefined$/],
    [null, /^a file descriptor is a non-negative integer, not null$/],
    [{}, /^this Object cannot be sent: it has no descriptor of its own/],
    [1, /^sendFile\(\) takes an object with a descriptor\. 1 is a number, which sendFd\(\) sends$/],
  ] as const) {
    assert.throws(() => fds.sendFile(file as never), refused(text));
    assert.throws(() => grpcfd.fileToUrl(file as never), refused(/is not an open file descriptor$/));
  }
  for (const files of [undefined, null, 1]) {
    assert.throws(() => fds.refs(files as never), refused(/^files must be an object/));
    assert.throws(() => fds.urls(files as never), refused(/^files must be an object/));
  }
});

test('handlers and calls are checked', () => {
  assert.throws(() => grpcfd.handler(undefined as never), refused(/^the handler must be a function/));
  for (const call of [undefined, null, 1]) {
    assert.throws(() => grpcfd.fromCall(call as never), refused(/^call must be an object/));
    assert.throws(() => grpcfd.tryFromCall(call as never), refused(/^call must be an object/));
  }
});

test('shared memory refuses wrong options', () => {
  for (const size of [-1, 0.5, Number.NaN, Infinity, '1', undefined, null, 1n]) {
    assert.throws(
      () => grpcfd.createSharedMemory(size as number),
      refused(/^size must be an integer of at least 0/),
    );
  }
  const name: Wrong = [
    'name',
    ['a\0b', 'x'.repeat(250), 1, null],
    /^name must be a string of at most 249 bytes/,
  ];
  throwsFor([name, ['seal', [true], /^"seal" is not an option/]], (options) =>
    grpcfd.createSharedMemory(1, options),
  );
});

test('received files refuse wrong options, and leave the file as it was', async () => {
  await using file = new grpcfd.ReceivedFile(fileWith('content'));
  const start: Wrong = ['start', [-1, 0.5, '0', null], /^start must be an integer of at least 0/];
  const highWaterMark: Wrong = [
    'highWaterMark',
    [-1, 0.5, '1', null],
    /^highWaterMark must be an integer of at/,
  ];
  const end: Wrong = ['end', [-1, 0.5, '0', null], /^end must be an integer of at least 0 or Infinity/];
  throwsFor([start, end, highWaterMark], (options) => file.createReadStream(options));
  throwsFor([start, highWaterMark], (options) => file.createWriteStream(options));
  throwsFor([['writable', [1, 'yes', null], /^writable must be a boolean/]], (options) => file.map(options));
  for (const flags of ['r', -1, 0.5, undefined]) {
    assert.throws(() => file.reopen(flags as number), refused(/^flags must be an integer from 0/));
  }
  const maxBytes: Wrong = [
    'maxBytes',
    [-1, 0.5, Number.NaN, '1', null],
    /^maxBytes must be an integer of at least 0/,
  ];
  const encoding: Wrong = ['encoding', ['utf9', 8, null], /^encoding must be an encoding of Buffer/];
  await rejectsFor([maxBytes, encoding], (options) => file.readFile(options));
  for (const position of [-1, 0.5, '0']) {
    const text = refused(/^position must be null or an integer of at least 0/);
    await assert.rejects(file.read(Buffer.alloc(1), 0, 1, position as number), text);
    await assert.rejects(file.write(Buffer.alloc(1), 0, 1, position as number), text);
  }
  for (const buffer of [undefined, 'x', []]) {
    await assert.rejects(
      file.read(buffer as never),
      refused(/^buffer must be a Buffer, TypedArray or DataView/),
    );
    await assert.rejects(
      file.write(buffer as never),
      refused(/^buffer must be a Buffer, TypedArray or DataView/),
    );
  }
  assert.equal(await file.readFile({ maxBytes: 7, encoding: 'utf8' }), 'content');
  await file.reopen(constants.O_RDONLY).close();
});

/** Runs `run`, and gives the warnings that the process was given meanwhile, once there are `count`. */
async function warnings(count: number, run: () => Promise<void>): Promise<(Error & { code?: string })[]> {
  const seen: Error[] = [];
  const { promise, resolve } = withResolvers<void>();
  const onWarning = (warning: Error) => {
    seen.push(warning);
    if (seen.length === count) resolve();
  };
  process.on('warning', onWarning);
  await run();
  await promise;
  process.off('warning', onWarning);
  return seen;
}

for (const [kind, onConnection] of [
  ['throws', () => assert.fail('not welcome')],
  ['rejects', async () => assert.fail('not welcome')],
  ['rejects later', (connection: grpcfd.FdConnection) => connection.recvFd('inode://1/1', { timeoutMs: 1 })],
] as const) {
  test(`an onConnection that ${kind} costs its connection and a warning, at either end`, async () => {
    let calls = 0;
    const options = {
      onConnection(connection: grpcfd.FdConnection) {
        calls++;
        return calls === 1 ? onConnection(connection) : undefined;
      },
    };
    const { address } = await serve(receiving, { options });
    const [atServer] = await warnings(1, async () => {
      const client = await dial(address, { clientOptions: { 'grpc.initial_reconnect_backoff_ms': 100 } });
      await client.unary({ files: [] }).catch(() => {});
      await client.unary({ files: [] }, { waitForReady: true } as grpc.CallOptions).catch(() => {});
    });
    calls = 0;
    const { address: plain } = await serve(receiving);
    const [atClient] = await warnings(1, async () => {
      const client = await dial(plain, { options });
      await client.unary({ files: [] }).catch(() => {});
    });
    for (const warning of [atServer, atClient]) {
      assert.equal(warning?.code, 'GRPCFD_ON_CONNECTION');
      assert.match(warning?.message ?? '', /^onConnection failed, and its connection was closed: /);
    }
  });
}
