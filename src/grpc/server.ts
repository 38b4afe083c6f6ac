import type { ServerHttp2Session } from 'node:http2';
import * as grpc from '@grpc/grpc-js';
import { UnixListener } from '../socket/unix-listener.js';
import { setImmediate } from '../timers.js';
import { Connection } from './connection.js';
import {
  type AnyHttp2Server,
  alwaysCallBackOnClose,
  listenOnUnixPathsWith,
  replaceCreateHttp2Server,
  type StreamSocket,
  streamSocketOf,
} from './internals.js';
import type { FdServerOptions } from './options.js';
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
  const connections = new WeakMap<StreamSocket, Connection>();

  listenOnUnixPathsWith(server, (path, accept) => {
    const onConnection = (fd: number) => {
      try {
        accept(() => {
          const connection = new Connection(fd, 'server', options);
          connections.set(connection.socket, connection);
          return connection.socket;
        });
      } catch (error) {
        // A throwing onConnection costs its connection, not the server.
        process.emitWarning(error instanceof Error ? error : String(error));
      }
    };
    const onError = (error: Error) => process.emitWarning(error);
    return UnixListener.listen({ ...options, path }, { onConnection, onError });
  });

  server.prependListener('session', (session: ServerHttp2Session) => {
    const socket = streamSocketOf(session);
    const connection = socket === undefined ? undefined : connections.get(socket);
    if (connection === undefined) return;
    setConnectionOf(session, connection);
    alwaysCallBackOnClose(session);
    // Sequence numbers are of no use any more on a connection that lost descriptors: the channel is sent to a new one.
    // In a later turn, so that a call in the very bytes with which descriptors were lost reaches its handler and fails there.
    // A session that closes already refuses it, and its next attempt waits for as long as the table is full.
    connection.onDescriptorsLost = () => setImmediate(() => session.close());
    if (connection.hasLostDescriptors) connection.onDescriptorsLost();
  });

  // Before grpc-js looks at the call, so that also one that it refuses is known to the books.
  server.prependListener('stream', registerStream);
}
