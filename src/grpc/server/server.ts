import type { ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { UnixListener } from '../../socket/unix-listener.js';
import { Connection, OnConnectionError } from '../connection.js';
import { bridgedSocketOf } from '../internals/bridged-socket.js';
import {
  type AnyHttp2Server,
  allowsHalfOpen,
  listenOnUnixPathsWith,
  replaceCreateHttp2Server,
} from '../internals/http2-server.js';
import type { FdServerOptions } from '../options.js';
import { endInTwoSteps } from './graceful-end.js';
import { leaveAfterLoss } from './leave-after-loss.js';
import { registerStream, setConnectionOf } from './server-call.js';
import { fdServerCredentialsIn } from './server-credentials.js';

/**
 * A grpc.Server whose `bindAsync` takes `serverCredentials()`. Connections to its `unix:` and `unix-abstract:` addresses carry
 * descriptors then. On other addresses, and with other credentials, it works like the stock one.
 */
export class Server extends grpc.Server {}

/** Changes the servers of `prototype` so that they support `serverCredentials()`. */
export function honourServerCredentials(prototype: grpc.Server): void {
  replaceCreateHttp2Server(prototype, (credentials, create) => {
    const fdCredentials = fdServerCredentialsIn(credentials);
    if (fdCredentials === undefined) return create();
    const server = fdCredentials.honouredBy(create);
    carryDescriptors(server, fdCredentials.options);
    return server;
  });
}

honourServerCredentials(Server.prototype);

function carryDescriptors(server: AnyHttp2Server, options: FdServerOptions): void {
  const connections = new WeakMap<Socket, Connection>();

  listenOnUnixPathsWith(server, {
    listen: (path, onConnection) => {
      const onError = (error: Error) => process.emitWarning(error);
      const events = { onConnection, onError };
      const place = { ...options, path };
      return UnixListener.listenNow(place, events) ?? UnixListener.listen(place, events);
    },
    onConnection: (fd, accept) => {
      try {
        accept(() => {
          const connection = new Connection(fd, 'server', options, allowsHalfOpen(server));
          connections.set(connection.socket, connection);
          return connection.socket;
        });
      } catch (error) {
        // The error costs the connection, not the server.
        if (!(error instanceof OnConnectionError)) process.emitWarning(error as Error);
      }
    },
    // Another process would not give the file the owner and the mode that were asked for, and would remove it.
    sharesPaths: [options.mode, options.uid, options.gid, options.unlinkOnClose].every(
      (option) => option === undefined,
    ),
  });

  server.prependListener('session', (session: ServerHttp2Session) => {
    const socket = bridgedSocketOf(session);
    const connection = socket === undefined ? undefined : connections.get(socket);
    if (connection === undefined) return;
    setConnectionOf(session, connection);
    connection.findSession = () => session;
    endInTwoSteps(session, connection);
    leaveAfterLoss(session, connection);
  });

  // It runs before grpc-js, so that calls that grpc-js rejects are registered, too.
  server.prependListener('stream', registerStream);
}
