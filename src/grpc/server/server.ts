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
 * A grpc.Server whose `bindAsync` honours `serverCredentials()` on `unix:` and `unix-abstract:` addresses: what connects there
 * can send and receive descriptors. On every other address, and with other credentials, it is the stock one.
 */
export class Server extends grpc.Server {}

/** Has the servers of `prototype` honour `serverCredentials()`. */
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
      return UnixListener.listen({ ...options, path }, { onConnection, onError });
    },
    onConnection: (fd, accept) => {
      try {
        accept(() => {
          const connection = new Connection(fd, 'server', options, allowsHalfOpen(server));
          connections.set(connection.socket, connection);
          return connection.socket;
        });
      } catch (error) {
        // It costs the connection, not the server.
        if (!(error instanceof OnConnectionError)) process.emitWarning(error as Error);
      }
    },
    // Another process would not give the file the owner and the mode that were asked for.
    sharesPaths: options.mode === undefined && options.uid === undefined && options.gid === undefined,
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

  // Before grpc-js looks at the call, so that also one that it refuses is known to the books.
  server.prependListener('stream', registerStream);
}
