// Each scenario runs with a stock server and client and with those of this package, and must have the same outcome.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import type { Server as NetServer } from 'node:net';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import {
  bind,
  freshAddress,
  type Message,
  type Security,
  shutDown,
  stockChannelCredentials,
  stockServerCredentials,
  TestClient,
  testService,
  withResolvers,
} from '../support/service.js';

trackDescriptors();

/** A server and what is needed to dial it, stock or of this package. */
class Subject {
  readonly server: grpc.Server;
  readonly address = freshAddress();
  readonly #ours: boolean;
  readonly #security: Security;
  /** A promise for each call of the bidi method, which runs as long as the client writes. */
  readonly cancelled: Promise<unknown>[] = [];

  constructor(ours: boolean, security: Security, options?: grpc.ServerOptions) {
    this.#ours = ours;
    this.#security = security;
    this.server = ours ? new grpcfd.Server(options) : new grpc.Server(options);
    this.server.addService(testService, {
      unary: (_call: object, callback: grpc.sendUnaryData<Message>) => callback(null, {}),
      bidi: (call: grpc.ServerDuplexStream<Message, Message>) => {
        this.cancelled.push(once(call, 'cancelled'));
        call.on('data', (message) => call.write(message));
        call.on('end', () => call.end());
      },
    });
    defer(() => this.server.forceShutdown());
  }

  async bind(): Promise<void> {
    const credentials = await stockServerCredentials(this.#security);
    await bind(this.server, this.address, this.#ours ? grpcfd.serverCredentials(credentials) : credentials);
  }

  /** Each client has its own connection. */
  async dial(): Promise<TestClient> {
    const credentials = await stockChannelCredentials(this.#security);
    return new TestClient(this.address, this.#ours ? grpcfd.channelCredentials(credentials) : credentials, {
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  get fileExists(): boolean {
    return existsSync(this.address.slice('unix:'.length));
  }

  async connections(): Promise<number> {
    const servers = Reflect.get(this.server, 'http2Servers') as Map<NetServer, unknown>;
    const counts = Array.from(servers.keys(), async (server) => {
      const { promise, resolve } = withResolvers<number>();
      server.getConnections((_error, count) => resolve(count));
      return promise;
    });
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  }
}

/** A call that has reached its handler. */
async function openCall(client: TestClient) {
  const call = client.bidi();
  const status = new Promise<grpc.StatusObject>((resolve) => call.once('status', resolve));
  call.on('error', () => {});
  call.write({});
  await once(call, 'data');
  call.resume();
  return { call, status };
}

async function codeOf(call: Promise<unknown>): Promise<grpc.status> {
  return ((await failure(call)) as grpc.ServiceError).code;
}

/** Whether a promise is settled now, or within a few turns of the event loop. */
async function settlesSoon(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  void promise.then(() => {
    settled = true;
  });
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
  return settled;
}

const scenarios: Record<string, (subject: Subject) => Promise<unknown>> = {
  async 'tryShutdown ends without connections'({ server }) {
    await shutDown(server);
  },

  async 'tryShutdown waits for open calls, and refuses new calls'(subject) {
    const [client, other] = [await subject.dial(), await subject.dial()];
    const { call, status } = await openCall(client);
    const stopped = shutDown(subject.server);
    const fileExists = subject.fileExists;
    const refused = await codeOf(other.unary({}));
    const early = await settlesSoon(stopped);
    call.write({ still: 'served' });
    call.end();
    const { code } = await status;
    await stopped;
    return { fileExists, refused, early, code };
  },

  async 'tryShutdown closes idle connections'(subject) {
    const clients = [await subject.dial(), await subject.dial()];
    for (const client of clients) await client.unary({});
    const before = await subject.connections();
    await shutDown(subject.server);
    return { before, after: await subject.connections() };
  },

  async 'forceShutdown ends an open call'(subject) {
    const { status } = await openCall(await subject.dial());
    subject.server.forceShutdown();
    const fileExists = subject.fileExists;
    await subject.cancelled[0];
    const { code } = await status;
    await shutDown(subject.server);
    return { fileExists, ended: [grpc.status.CANCELLED, grpc.status.UNAVAILABLE].includes(code) };
  },

  async 'forceShutdown ends a tryShutdown that waits'(subject) {
    const { status } = await openCall(await subject.dial());
    const stopped = shutDown(subject.server);
    const early = await settlesSoon(stopped);
    subject.server.forceShutdown();
    await stopped;
    return { early, ok: (await status).code === grpc.status.OK };
  },

  async 'unbind lets open calls end, and accepts no new connection'(subject) {
    const [client, other] = [await subject.dial(), await subject.dial()];
    const { call, status } = await openCall(client);
    subject.server.unbind(subject.address);
    const fileExists = subject.fileExists;
    const refused = await codeOf(other.unary({}));
    call.end();
    const { code } = await status;
    await shutDown(subject.server);
    return { fileExists, refused, code };
  },

  async 'an address can be bound again after unbind'(subject) {
    subject.server.unbind(subject.address);
    await subject.bind();
    await (await subject.dial()).unary({});
    return subject.fileExists;
  },

  async 'drain cancels open calls after the grace time, and goes on serving'(subject) {
    const client = await subject.dial();
    const { status } = await openCall(client);
    subject.server.drain(subject.address, 30);
    const { code } = await status;
    await client.unary({});
    return { ended: code !== grpc.status.OK, fileExists: subject.fileExists };
  },

  async 'getConnections counts the connections'(subject) {
    const clients = [await subject.dial(), await subject.dial(), await subject.dial()];
    for (const client of clients) await client.unary({});
    const before = await subject.connections();
    for (const client of clients) client.grpc.close();
    while ((await subject.connections()) > 0) await new Promise(setImmediate);
    return before;
  },

  async 'bindAsync after shutdown throws'(subject) {
    await shutDown(subject.server);
    return String(await failure(subject.bind()));
  },
};

for (const security of ['plaintext', 'TLS'] as Security[]) {
  for (const [name, scenario] of Object.entries(scenarios)) {
    test(`${security}: as with a stock server, ${name}`, async () => {
      const outcomes: unknown[] = [];
      for (const ours of [false, true]) {
        const subject = new Subject(ours, security);
        await subject.bind();
        outcomes.push(await scenario(subject));
      }
      assert.deepEqual(outcomes[1], outcomes[0]);
    });
  }

  test(`${security}: as with a stock server, forceShutdown without channelz stops listening and leaves connections open`, async () => {
    for (const ours of [false, true]) {
      const subject = new Subject(ours, security, { 'grpc.enable_channelz': 0 });
      await subject.bind();
      const { call, status } = await openCall(await subject.dial());
      subject.server.forceShutdown();
      assert.equal(subject.fileExists, false);
      call.end();
      assert.equal((await status).code, grpc.status.OK);
    }
  });

  const options: Record<string, grpc.ServerOptions> = {
    'a connection that is too old': {
      'grpc.max_connection_age_ms': 50,
      'grpc.max_connection_age_grace_ms': 50,
    },
    'an idle connection': { 'grpc.max_connection_idle_ms': 50 },
  };
  for (const [what, serverOptions] of Object.entries(options)) {
    test(`${security}: ${what} is closed, and the client makes a new connection`, async () => {
      const subject = new Subject(true, security, serverOptions);
      await subject.bind();
      const client = await subject.dial();
      await client.unary({});
      assert.equal(await subject.connections(), 1);
      while ((await subject.connections()) > 0) await new Promise((resolve) => setTimeout(resolve, 1));
      await client.unary({});
    });
  }

  test(`${security}: keepalive pings do not close a connection that answers them`, async () => {
    const subject = new Subject(true, security, {
      'grpc.keepalive_time_ms': 5,
      'grpc.keepalive_timeout_ms': 1_000,
    });
    await subject.bind();
    const { call, status } = await openCall(await subject.dial());
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(await subject.connections(), 1);
    call.end();
    assert.equal((await status).code, grpc.status.OK);
  });
}
