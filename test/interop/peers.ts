/** What the tests with Go peers share: the Go processes, and this process as the peer of one. */
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

/** For the `skip` of a test: why it cannot run; false where it can. */
export const withoutGo: string | false = 'missing' in go ? `this needs Go, and ${go.missing}` : false;

/** After this a Go client is taken to hang. */
const HANG_MS = 60_000;

let current: Workplace | undefined;

/** Call this at the top of a test file. It builds the Go programs, which takes long only where none of them was built yet. */
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

/** A Go client, as the function that runs a row. The test fails if it dies. */
export function goClient(options?: PeerOptions): (row: Omit<Row, 'id'>) => Promise<RowResult> {
  const client = new ClientPeer('go', workplace(), options);
  defer(async () => assert.equal(await client.stop(), undefined));
  return (row) => client.run(row, HANG_MS);
}

export type Unary = (
  call: grpc.ServerUnaryCall<Request, Reply>,
  fds: grpcfd.FdServerCall,
) => Promise<Reply> | Reply;

/** A server in this process, whose unary calls are answered by `unary`, and health checks too. */
export async function serveUnary(
  security: Security,
  unary: Unary,
  target = `unix:${join(temporaryDirectory(), 'server.sock')}`,
): Promise<{ server: grpcfd.Server; target: string; connections: grpcfd.FdConnection[] }> {
  const connections: grpcfd.FdConnection[] = [];
  const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection);
  const server = new grpcfd.Server();
  server.addService(exchangeService, { Unary: grpcfd.handler<Request, Reply>(unary) });
  server.addService(healthService, { Check: grpcfd.handler(() => ({ status: 'SERVING' })) });
  await bind(server, target, serverCredentials(security, workplace().certs, { onConnection }));
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

  /** What each call needs: in TLS, the token. With mutual TLS the channel has it. */
  get metadata(): grpc.Metadata {
    // A server may be restarting.
    const metadata = new grpc.Metadata({ waitForReady: true });
    if (this.#security === 'tls') metadata.set('authorization', 'Bearer interop');
    return metadata;
  }

  unary(request: Request, fds: grpcfd.FdCallCredentials): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.stub.unary(request, this.metadata, fds.options(), (error, reply) =>
        error !== null || reply === undefined ? reject(error) : resolve(reply),
      );
    });
  }
}
