/** The servers of histories. */
import { join } from 'node:path';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { bind, type Security, stockServerCredentials, testService } from '../../support/service.js';
import type { ServerName } from '../rules/end.js';
import { MAX_FDS_PER_CALL, MAX_STREAMS } from '../rules/model.js';
import { goLikeServer, type RunningServer } from './go-like-server.js';
import { ServerSide } from './server-side.js';

async function ourServer(
  path: string,
  security: Security,
  serverOptions: grpc.ServerOptions = {},
): Promise<RunningServer> {
  const side = new ServerSide(grpcfd.fromCall);
  const server = new grpcfd.Server(serverOptions);
  server.addService(testService, { ...side.handlers });
  const options = { maxFdsPerCall: MAX_FDS_PER_CALL };
  await bind(
    server,
    `unix:${path}`,
    grpcfd.serverCredentials(await stockServerCredentials(security), options),
  );
  return { side, path, stop: () => server.forceShutdown() };
}

export type Servers = Readonly<Record<ServerName, RunningServer>>;

let made = 0;

/** On fresh sockets in that directory. */
export async function startServers(directory: string, security: Security): Promise<Servers> {
  made++;
  const prefix = join(directory, `${process.pid}.${made}`);
  const path = (name: string) => `${prefix}.${name}`;
  return {
    ours: await ourServer(path('ours'), security),
    narrow: await ourServer(path('narrow'), security, { 'grpc.max_concurrent_streams': MAX_STREAMS }),
    'Go-like': await goLikeServer(path('go'), security),
  };
}

export function forEachServer<T>(make: (name: ServerName) => T): Readonly<Record<ServerName, T>> {
  return { ours: make('ours'), narrow: make('narrow'), 'Go-like': make('Go-like') };
}
