import { once } from 'node:events';
import * as http2 from 'node:http2';
import type { ConnectRouter } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { carryDescriptorsOn, type FdServerCall } from 'grpcfd';
import { adapterOptions, fdsOf } from 'grpcfd/connect';
import { Store } from './generated/store_pb.js';

function routes(router: ConnectRouter): void {
  router.service(Store, {
    async put({ file }, context) {
      return { text: await read(file, fdsOf(context)) };
    },

    get(_request, context) {
      return { file: fdsOf(context).sendFilename('package.json', { flags: 'r' }).ref };
    },

    async putAll(files, context) {
      const texts: string[] = [];
      for await (const { file } of files) texts.push(await read(file, fdsOf(context)));
      return { text: texts.join('') };
    },

    async *getAll(_request, context) {
      for (const path of ['package.json', 'tsconfig.json']) {
        yield { file: fdsOf(context).sendFilename(path, { flags: 'r' }).ref };
      }
    },

    async *exchange(files, context) {
      for await (const { file } of files) {
        await using received = await fdsOf(context).recvFile(file);
        yield { file: fdsOf(context).sendFile(received).ref };
      }
    },
  });
}

export async function listen(path: string, tls?: http2.SecureServerOptions): Promise<http2.Http2Server> {
  const handler = connectNodeAdapter({ routes, ...adapterOptions });
  const server = tls === undefined ? http2.createServer(handler) : http2.createSecureServer(tls, handler);
  carryDescriptorsOn(server);
  server.listen({ path });
  await once(server, 'listening');
  return server;
}

async function read(name: string, fds: FdServerCall): Promise<string> {
  await using file = await fds.recvFile(name); // closed at the end of the block
  return String(await file.readFile());
}
