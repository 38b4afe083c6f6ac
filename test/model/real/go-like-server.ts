/** A server of stock grpc-js whose connections are like those of the Go package. */
import * as grpc from '@grpc/grpc-js';
import { bridgedSocketOf } from '#src/grpc/internals/bridged-socket.js';
import { streamOf } from '#src/grpc/internals/http2-server.js';
import { UnixListener } from '#src/socket/unix-listener.js';
import { type Security, stockServerCredentials, testService } from '../../support/service.js';
import { GoLikeConnection } from './go-like-connection.js';
import { ServerSide } from './server-side.js';

export interface RunningServer {
  readonly side: ServerSide;
  readonly path: string;
  stop(): void;
}

export async function goLikeServer(path: string, security: Security): Promise<RunningServer> {
  const side = new ServerSide((call) => {
    const session = streamOf(call)?.session;
    return GoLikeConnection.of(session === undefined ? undefined : bridgedSocketOf(session as never));
  });
  const server = new grpc.Server();
  server.addService(testService, { ...side.handlers });
  const injector = server.createConnectionInjector(await stockServerCredentials(security));
  const listener = await UnixListener.listen(
    { path },
    {
      onConnection: (fd) => injector.injectConnection(new GoLikeConnection(fd).socket),
      onError: (error) => {
        throw error;
      },
    },
  );
  const stop = () => {
    listener.close();
    server.forceShutdown();
  };
  return { side, path, stop };
}
