/** Servers that allow few streams at a time, and what their connections have received. */
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { defer } from './fd-table.js';
import { Gate } from './gate.js';
import { type Message, type ServeOptions, serve, type TestClient, type TestHandlers } from './service.js';

export interface Limited {
  readonly server: grpcfd.Server;
  readonly address: string;
  readonly connections: grpcfd.FdConnection[];
  /** Descriptors that came in over all connections. */
  readonly receivedFds: number;
}

export async function serveLimited(
  streams: number,
  handlers: TestHandlers,
  { options, serverOptions, ...more }: ServeOptions = {},
): Promise<Limited> {
  const connections: grpcfd.FdConnection[] = [];
  const { server, address } = await serve(handlers, {
    ...more,
    options: { ...options, onConnection: (connection) => void connections.push(connection) },
    serverOptions: { ...serverOptions, 'grpc.max_concurrent_streams': streams },
  });
  return {
    server,
    address,
    connections,
    get receivedFds() {
      return connections.reduce((sum, connection) => sum + connection.stats().receivedFds, 0);
    },
  };
}

/** A call that occupies a stream until the test lets it go. */
export class Occupant {
  readonly #gate = new Gate();
  reply: Promise<unknown> = Promise.resolve();

  constructor() {
    // A test that fails must not wait for it.
    defer(() => this.leave());
  }

  /** For the handler. */
  stay(): Promise<void> {
    return this.#gate.wait();
  }

  /** Resolves when the call has its stream. */
  async enter(client: TestClient, options?: grpc.CallOptions): Promise<void> {
    this.reply = client.unary({ stay: true }, options);
    this.reply.catch(() => {});
    await this.#gate.reached;
  }

  leave(): void {
    this.#gate.open();
  }
}

/** A handler in which the calls of the occupants stay, in their order, and all others are answered by `answer`. */
export function withOccupants(
  occupants: readonly Occupant[],
  answer: (request: Message, fds: grpcfd.FdServerCall) => Promise<Message>,
): TestHandlers {
  const next = [...occupants];
  return {
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
      if (call.request['stay'] !== true) return answer(call.request, fds);
      await next.shift()?.stay();
      return {};
    }),
  };
}

/** So many turns of the event loop that a call which could start would have started. */
export async function manyTurns(): Promise<void> {
  for (let index = 0; index < 50; index++) await new Promise((resolve) => setImmediate(resolve));
}
