/** The two servers of histories: one of this package, and one that is like the Go package. */
import { join } from 'node:path';
import * as grpcfd from 'grpcfd';
import { bind, type Security, stockServerCredentials, testService } from '../../support/service.js';
import { MAX_FDS_PER_CALL } from '../rules/model.js';
import { goLikeServer, type RunningServer } from './go-like-server.js';
import { ServerSide } from './server-side.js';

async function ourServer(path: string, security: Security): Promise<RunningServer> {
  const side = new ServerSide(grpcfd.fromCall);
  const server = new grpcfd.Server();
  server.addService(testService, { ...side.handlers });
  const options = { maxFdsPerCall: MAX_FDS_PER_CALL };
  await bind(
    server,
    `unix:${path}`,
    grpcfd.serverCredentials(await stockServerCredentials(security), options),
  );
  return { side, path, stop: () => server.forceShutdown() };
}

export interface Servers {
  readonly ours: RunningServer;
  readonly goLike: RunningServer;
}

let made = 0;

/** On fresh sockets in that directory. */
export async function startServers(directory: string, security: Security): Promise<Servers> {
  made++;
  const prefix = join(directory, `${process.pid}.${made}`);
  const path = (name: string) => `${prefix}.${name}`;
  return {
    ours: await ourServer(path('ours'), security),
    goLike: await goLikeServer(path('go'), security),
  };
}
