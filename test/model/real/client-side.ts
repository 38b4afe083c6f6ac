/** The clients of one history, their credentials, and their calls. */
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import type { Connection } from '#src/grpc/connection.js';
import { RETRY } from '../../support/policies.js';
import { type Security, testService } from '../../support/service.js';
import { Mismatch } from '../mismatch.js';
import type { Call } from '../rules/call.js';
import type { Client } from '../rules/connection.js';
import { Credentials } from '../rules/credentials.js';
import type { ServerName } from '../rules/end.js';
import { ClientCall, type RunningCall } from './client-call.js';
import { GoLikeClient } from './go-like-client.js';
import type { GoLikeConnection } from './go-like-connection.js';
import { Hands } from './hands.js';
import { PING } from './server-side.js';

export interface ClientSideOptions {
  /** Of the servers. */
  readonly paths: Readonly<Record<ServerName, string>>;
  readonly security: Security;
  /** Those of `security`. */
  readonly inner: grpc.ChannelCredentials;
  /** Before the names of calls. */
  readonly prefix: string;
}

/** With its last connection. */
interface GrpcClient {
  readonly grpc: grpc.Client;
  connection: Connection | undefined;
}

/** Calls what is registered for an object that was collected. A registry that is itself collected calls nothing. */
const collections = new FinalizationRegistry<() => void>((collected) => collected());
/** So many are enough for what nobody can reach. */
const COLLECTIONS = 500;

/** V8 calls each registry in a turn of its own. There are no more. */
const REGISTRIES = 5;

const AnyClient = grpc.makeGenericClientConstructor(testService, 'Test');

export class ClientSide {
  readonly hands = new Hands();
  readonly #options: ClientSideOptions;
  readonly #clients = new Map<Client, GrpcClient>();
  readonly #goLike: GoLikeClient;
  readonly #credentials = new Map<Credentials, grpcfd.FdCallCredentials>();
  readonly #calls = new Map<Call, RunningCall>();

  constructor(options: ClientSideOptions) {
    this.#options = options;
    this.#goLike = new GoLikeClient(options.paths.ours, options.security);
  }

  credentials(credentials: Credentials): grpcfd.FdCallCredentials {
    let real = this.#credentials.get(credentials);
    if (real === undefined) {
      real = grpcfd.callCredentials();
      this.#credentials.set(credentials, real);
    }
    return real;
  }

  /** Returns when they have been collected, and what registries do about it has been done. */
  async collect(credentials: Credentials): Promise<void> {
    let collected = false;
    collections.register(this.credentials(credentials), () => {
      collected = true;
    });
    this.#credentials.delete(credentials);
    // A call knows its credentials.
    for (const call of this.#calls.keys()) if (call.ended) this.#calls.delete(call);
    for (let count = 0; !collected; count++) {
      if (count > COLLECTIONS) throw new Mismatch('leak', `credentials ${credentials.id} are not collected`);
      await turns(1);
      globalThis.gc?.();
    }
    await turns(REGISTRIES);
  }

  nameOf({ id }: Call): string {
    return `${this.#options.prefix}.${id}`;
  }

  async start(call: Call, options: grpc.CallOptions): Promise<RunningCall> {
    const { client, kind } = call;
    const real =
      client.peers === 'URL client'
        ? await this.#goLike.start(kind, this.nameOf(call))
        : new ClientCall(this.#client(client).grpc, kind, this.nameOf(call), options);
    this.#calls.set(call, real);
    return real;
  }

  call(call: Call): RunningCall {
    const real = this.#calls.get(call);
    if (real === undefined) throw new Error(`call ${call.id} has not started`);
    return real;
  }

  /** A call that is answered at once, behind all that was written on the connection before. */
  async ping(client: Client): Promise<void> {
    const { status } = new ClientCall(this.#client(client).grpc, 'unary', PING, {});
    await status;
  }

  /** The last connection of a client. */
  connection(client: Client): Connection | GoLikeConnection {
    const { connection } = client.peers === 'URL client' ? this.#goLike : this.#client(client);
    if (connection === undefined) throw new Error('there is no connection');
    return connection;
  }

  /** Returns when the client knows that its connection has closed: a call before that would fail. */
  async leaves(client: Client, left: Connection | GoLikeConnection): Promise<void> {
    await left.closed;
    if (client.peers === 'URL client') return this.#goLike.left();
    const real = this.#client(client);
    const channel = real.grpc.getChannel();
    const knows = () =>
      real.connection !== left || channel.getConnectivityState(false) !== grpc.connectivityState.READY;
    while (!knows()) await turns(1);
  }

  /** What sends or receives for credentials, or for a client without. */
  transceiver(whose: Credentials | Client): grpcfd.FdTransceiver | GoLikeConnection {
    return whose instanceof Credentials
      ? this.credentials(whose)
      : (this.connection(whose) as GoLikeConnection);
  }

  /** Ends everything. */
  async end(): Promise<void> {
    for (const call of this.#calls.values()) call.cancel();
    for (const each of this.#credentials.values()) each.close();
    for (const { grpc } of this.#clients.values()) grpc.close();
    this.#goLike.close();
    await this.hands.closeAll();
  }

  #client(client: Client): GrpcClient {
    const known = this.#clients.get(client);
    if (known !== undefined) return known;
    const { paths, inner } = this.#options;
    const onConnection = (connection: grpcfd.FdConnection) => {
      made.connection = connection as Connection;
    };
    const made: GrpcClient = {
      grpc: new AnyClient(
        `unix:${paths[client.server]}`,
        grpcfd.channelCredentials(inner, { onConnection }),
        { ...(client.maxAttempts > 1 ? RETRY : {}), 'grpc.use_local_subchannel_pool': 1 },
      ),
      connection: undefined,
    };
    this.#clients.set(client, made);
    return made;
  }
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}
