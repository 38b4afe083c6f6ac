/** Helpers of the tests with Go peers: the Go processes, and this process as their peer. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import {
  clientOf,
  type ExchangeClient,
  exchangeService,
  healthService,
  type Reply,
  type Request,
} from '../../interop/node/protocol.js';
import type { Row, RowResult } from '../../interop/node/row.js';
import { channelCredentials, type Security, serverCredentials } from '../../interop/node/security.js';
import { ClientPeer, type PeerOptions, ServerPeer } from '../../interop/runner/peer.js';
import { findGo, prepare, type Workplace } from '../../interop/runner/toolchain.js';
import { defer } from '../support/fd-table.js';
import { bind, shutDown } from '../support/service.js';
import { temporaryDirectory } from '../support/temporary.js';

const go = await findGo();

/** For the `skip` of a test: the reason why it cannot run, or false. */
export const withoutGo: string | false = 'missing' in go ? `this needs Go, and ${go.missing}` : false;

/** A Go client that takes longer than this is considered to hang. */
const HANG_MS = 60_000;

let current: Workplace | undefined;

/** Call this at the top of a test file. It builds the Go programs, which takes long the first time only. */
export function useWorkplace(): void {
  before(async () => {
    if (withoutGo === false) current = await prepare();
  });
  after(() => current?.[Symbol.asyncDispose]());
}

export function workplace(): Workplace {
  assert.ok(current, 'useWorkplace() prepares it');
  return current;
}

/** A Go server. The test fails if it dies. */
export async function goServer(options?: PeerOptions): Promise<ServerPeer> {
  const server = await ServerPeer.start('go', workplace(), options);
  defer(async () => assert.equal(await server.stop(), undefined));
  return server;
}

/** Starts a Go client, and returns a function that runs a row in it. The test fails if the client dies. */
export function goClient(options?: PeerOptions): (row: Omit<Row, 'id'>) => Promise<RowResult> {
  const client = new ClientPeer('go', workplace(), options);
  defer(async () => assert.equal(await client.stop(), undefined));
  return (row) => client.run(row, HANG_MS);
}

export type Unary = (
  call: grpc.ServerUnaryCall<Request, Reply>,
  fds: grpcfd.FdServerCall,
) => Promise<Reply> | Reply;

/** A server in this process that handles unary calls with `unary`, and health checks. */
export async function serveUnary(
  security: Security,
  unary: Unary,
  target = `unix:${join(temporaryDirectory(), 'server.sock')}`,
  options: grpcfd.FdServerOptions = {},
): Promise<{ server: grpcfd.Server; target: string; connections: grpcfd.FdConnection[] }> {
  const connections: grpcfd.FdConnection[] = [];
  const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection);
  const server = new grpcfd.Server();
  server.addService(exchangeService, { Unary: grpcfd.handler<Request, Reply>(unary) });
  server.addService(healthService, { Check: grpcfd.handler(() => ({ status: 'SERVING' })) });
  await bind(server, target, serverCredentials(security, workplace().certs, { ...options, onConnection }));
  defer(() => shutDown(server));
  return { server, target, connections };
}

/** A client in this process. */
export class NodeClient {
  readonly connections: grpcfd.FdConnection[] = [];
  readonly #security: Security;
  readonly stub: ExchangeClient;

  constructor(target: string, security: Security) {
    const onConnection = (connection: grpcfd.FdConnection) => void this.connections.push(connection);
    const credentials = channelCredentials(security, workplace().certs, { onConnection });
    const channel = new grpc.Channel(target, credentials, { 'grpc.use_local_subchannel_pool': 1 });
    defer(() => channel.close());
    this.#security = security;
    this.stub = clientOf<ExchangeClient>(exchangeService, channel);
  }

  /** The call credentials of each call: with TLS a token. With mutual TLS, the channel has the token. */
  get metadata(): grpc.Metadata {
    // A server may be restarting.
    const metadata = new grpc.Metadata({ waitForReady: true });
    if (this.#security === 'tls') metadata.set('authorization', 'Bearer interop');
    return metadata;
  }

  unary(request: Request, fds: grpcfd.FdCallCredentials, base?: grpc.CallOptions): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.stub.unary(request, this.metadata, fds.options(base), (error, reply) =>
        error !== null || reply === undefined ? reject(error) : resolve(reply),
      );
    });
  }
}
