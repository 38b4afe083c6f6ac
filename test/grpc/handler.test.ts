import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { closeSync } from 'node:fs';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import {
  bind,
  dial,
  freshAddress,
  type Message,
  ready,
  type Security,
  serve,
  shutDown,
  stockServerCredentials,
  type TestClient,
  testService,
  withResolvers,
} from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

type Kind = keyof typeof testService;
const KINDS = Object.keys(testService) as Kind[];

/** The same handler for all kinds of methods: `fn` is called when all requests of the call have arrived. */
function everyKind(
  fn: (call: { getPeer(): string; metadata: grpc.Metadata }, fds: grpcfd.FdTransceiver) => unknown,
) {
  const reply = async (...args: Parameters<typeof fn>) => (await fn(...args)) as Message;
  return {
    unary: grpcfd.handler<grpc.handleUnaryCall<Message, Message>>((call, fds) => reply(call, fds)),
    clientStream: grpcfd.handler<grpc.handleClientStreamingCall<Message, Message>>((call, fds) =>
      reply(call, fds),
    ),
    serverStream: grpcfd.handler<grpc.handleServerStreamingCall<Message, Message>>(async (call, fds) => {
      call.write(await reply(call, fds));
    }),
    bidi: grpcfd.handler<grpc.handleBidiStreamingCall<Message, Message>>(async (call, fds) => {
      call.write(await reply(call, fds));
    }),
  };
}

/** Makes a call of any kind with one request and one reply. Rejects with the status if that is not OK. */
async function callOf(kind: Kind, client: TestClient, options: grpc.CallOptions = {}): Promise<Message> {
  if (kind === 'unary') return client.unary({}, options);
  if (kind === 'clientStream') {
    const { call, reply } = client.clientStream(options);
    call.end({});
    return reply;
  }
  const call = kind === 'serverStream' ? client.serverStream({}, options) : client.bidi(options);
  if (call instanceof Duplex) call.end({});
  let last: Message = {};
  call.on('data', (message: Message) => {
    last = message;
  });
  await once(call, 'end');
  return last;
}

class Unusual extends Error {
  readonly code = grpc.status.ALREADY_EXISTS;
  readonly details = 'taken';
  readonly metadata = new grpc.Metadata();

  constructor() {
    super('not this text');
    this.metadata.set('more', 'here');
  }
}

const THROWN: readonly [what: string, thrown: () => unknown, code: grpc.status, details: string][] = [
  ['an Error', () => new Error('oh'), grpc.status.UNKNOWN, 'oh'],
  ['an error with a code', () => new Unusual(), grpc.status.ALREADY_EXISTS, 'taken'],
  ['a status', () => ({ code: grpc.status.NOT_FOUND, details: 'gone' }), grpc.status.NOT_FOUND, 'gone'],
  [
    'a failed syscall',
    () => Object.assign(new Error('no file'), { code: 'ENOENT' }),
    grpc.status.NOT_FOUND,
    'no file',
  ],
  [
    'text with half a surrogate pair',
    () => new Error('bad \ud800 text'),
    grpc.status.UNKNOWN,
    'bad \ufffd text',
  ],
  ['a string', () => 'just text', grpc.status.UNKNOWN, 'just text'],
  ['undefined', () => undefined, grpc.status.UNKNOWN, 'undefined'],
  ['null', () => null, grpc.status.UNKNOWN, 'null'],
  ['a symbol', () => Symbol('s'), grpc.status.UNKNOWN, 'Symbol(s)'],
  ['an object without a prototype', () => Object.create(null), grpc.status.UNKNOWN, 'Unknown Error'],
];

for (const kind of KINDS) {
  test(`${kind}: the value that a handler returns, or its promise resolves to, is the reply`, async () => {
    const { address } = await serve({ ...everyKind(async () => ({ late: true })) });
    assert.deepEqual(await callOf(kind, await dial(address)), { late: true });
    const { address: other } = await serve({ ...everyKind(() => ({ late: false })) });
    assert.deepEqual(await callOf(kind, await dial(other)), { late: false });
  });

  for (const [what, thrown, code, details] of THROWN) {
    test(`${kind}: ${what} that a handler throws becomes the status`, async () => {
      let asynchronously = false;
      const fail = () => {
        if (!asynchronously) throw thrown();
        return Promise.reject(thrown());
      };
      // everyKind() would wrap it in an async function.
      const { address } = await serve({
        unary: grpcfd.handler(fail),
        clientStream: grpcfd.handler(fail),
        serverStream: grpcfd.handler(fail),
        bidi: grpcfd.handler(fail),
      });
      const client = await dial(address);
      for (asynchronously of [false, true]) {
        const error = (await failure(callOf(kind, client))) as grpc.ServiceError;
        assert.deepEqual([error.code, error.details], [code, details]);
        if (thrown() instanceof Unusual) assert.deepEqual(error.metadata.get('more'), ['here']);
      }
    });
  }

  test(`${kind}: a handler may finish or fail after its call was cancelled`, async () => {
    for (const outcome of ['value', 'error']) {
      const { promise: reached, resolve: reach } = withResolvers<void>();
      const { promise: finish, resolve: go } = withResolvers<void>();
      const { promise: finished, resolve: done } = withResolvers<void>();
      const { address } = await serve({
        ...everyKind(async () => {
          reach();
          await finish;
          setImmediate(done);
          if (outcome === 'error') throw new Error('too late');
          return {};
        }),
      });
      const client = await dial(address);
      await ready(client);
      const ended = failure(callOf(kind, client, { deadline: Date.now() + 500 }));
      await reached;
      assert.equal(((await ended) as grpc.ServiceError).code, grpc.status.DEADLINE_EXCEEDED);
      go();
      await finished;
    }
  });

  for (const security of ['plaintext', 'TLS'] as Security[]) {
    test(`${kind}, ${security}: fromCall finds the descriptors of a call inside several interceptors`, async () => {
      const order: string[] = [];
      const interceptor =
        (name: string): grpc.ServerInterceptor =>
        (_method, call) => {
          order.push(name);
          return new grpc.ServerInterceptingCall(call);
        };
      const withInterceptor = grpc.experimental.createServerCredentialsWithInterceptors;
      const inner = withInterceptor(await stockServerCredentials(security), [interceptor('inside')]);
      for (const [credentials, expected] of [
        [grpcfd.serverCredentials(inner), ['inside', 'server']],
        // grpc-js itself drops the interceptors of credentials inside createServerCredentialsWithInterceptors.
        [withInterceptor(grpcfd.serverCredentials(inner), [interceptor('outside')]), ['outside', 'server']],
      ] as const) {
        const server = new grpcfd.Server({ interceptors: [interceptor('server')] });
        const seen: string[] = [];
        const handlers = everyKind(async (call) => {
          seen.push(...Object.keys(call.metadata.getMap()).filter((key) => key.startsWith('grpcfd')));
          const fds = grpcfd.fromCall(call);
          assert.equal(grpcfd.tryFromCall(call), fds);
          return { peer: call.getPeer(), content: contentOf(await fds.recvFd(name)) };
        });
        server.addService(testService, handlers);
        const address = freshAddress();
        await bind(server, address, credentials);
        defer(() => shutDown(server));
        const fds = grpcfd.callCredentials();
        const file = fileWith('found');
        const name = fds.sendFd(file).ref;
        closeSync(file);
        const reply = await callOf(kind, await dial(address, { security }), fds.options());
        assert.deepEqual(reply, {
          peer: `unix:pid=${process.pid},uid=${process.getuid?.()},gid=${process.getgid?.()}`,
          content: 'found',
        });
        assert.deepEqual(order.splice(0), expected);
        assert.deepEqual(seen, []);
      }
    });
  }
}

test('Without a connection that carries descriptors, fromCall throws and tryFromCall returns undefined', async () => {
  const server = new grpcfd.Server();
  server.addService(testService, {
    unary: (call: object, callback: grpc.sendUnaryData<Message>) => {
      assert.equal(grpcfd.tryFromCall(call), undefined);
      assert.throws(() => grpcfd.fromCall(call), {
        reason: 'ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT',
        code: grpc.status.FAILED_PRECONDITION,
      });
      callback(null, {});
    },
  });
  const address = freshAddress();
  await bind(server, address, grpc.ServerCredentials.createInsecure());
  defer(() => shutDown(server));
  await (await dial(address)).unary({});
});

const ABORTS: readonly (readonly [what: string, code: grpc.status, fail: () => unknown])[] = [
  [
    'AbortSignal.timeout()',
    grpc.status.DEADLINE_EXCEEDED,
    async () => {
      const signal = AbortSignal.timeout(1);
      await once(signal, 'abort');
      signal.throwIfAborted();
    },
  ],
  ['AbortSignal.abort()', grpc.status.CANCELLED, () => AbortSignal.abort().throwIfAborted()],
  [
    'a stream that AbortSignal.timeout() ended',
    grpc.status.DEADLINE_EXCEEDED,
    () => once(new EventEmitter(), 'never', { signal: AbortSignal.timeout(1) }),
  ],
  [
    'a wait that AbortSignal.abort() ended',
    grpc.status.CANCELLED,
    () => once(new EventEmitter(), 'never', { signal: AbortSignal.abort() }),
  ],
  ['another DOMException', grpc.status.UNKNOWN, () => structuredClone(() => {})],
];
for (const [what, code, fail] of ABORTS) {
  test(`a handler that fails with ${what} gives the status ${grpc.status[code]}`, async () => {
    const { address } = await serve(everyKind(fail));
    const client = await dial(address);
    for (const kind of KINDS) {
      await assert.rejects(callOf(kind, client), (error: grpc.ServiceError) => {
        assert.equal(grpc.status[error.code], grpc.status[code]);
        return error.details.length > 0;
      });
    }
  });
}
