import type { ServerCredentials } from '@grpc/grpc-js';
import { type FdServerCall, serverCredentials } from 'grpcfd';
import { type FdsContext, serverMiddleware, serverOptions } from 'grpcfd/nice';
import { createServer, type Server } from 'nice-grpc';
import { type File, StoreDefinition, type StoreServiceImplementation } from './generated/store.js';

/** `fds` in the context comes from the middleware. */
const store: StoreServiceImplementation<FdsContext> = {
  async put({ file }, { fds }) {
    return { text: await read(file, fds) };
  },

  async get(_request, { fds }) {
    return { file: fds.sendFilename('package.json', { flags: 'r' }).ref };
  },

  async putAll(files, { fds }) {
    const texts: string[] = [];
    for await (const { file } of files) texts.push(await read(file, fds));
    return { text: texts.join('') };
  },

  async *getAll(_request, { fds }) {
    for (const path of ['package.json', 'tsconfig.json'])
      yield { file: fds.sendFilename(path, { flags: 'r' }).ref };
  },

  async *exchange(files: AsyncIterable<File>, { fds }) {
    for await (const { file } of files) {
      await using received = await fds.recvFile(file);
      yield { file: fds.sendFile(received).ref };
    }
  },
};

export async function listen(address: string, inner?: ServerCredentials): Promise<Server> {
  const server = createServer(serverOptions).use(serverMiddleware);
  server.add(StoreDefinition, store);
  await server.listen(address, serverCredentials(inner));
  return server as Server;
}

async function read(name: string, fds: FdServerCall): Promise<string> {
  await using file = await fds.recvFile(name); // closed at the end of the block
  return String(await file.readFile());
}
