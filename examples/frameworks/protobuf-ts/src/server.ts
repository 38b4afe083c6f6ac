import { promisify } from 'node:util';
import type { ServerCredentials } from '@grpc/grpc-js';
import { type FdServerCall, handler, Server, serverCredentials } from 'grpcfd';
import { type IStore, storeDefinition } from './generated/store.grpc-server';

/** The types of the calls and of the replies come from `IStore`. */
const store: IStore = {
  put: handler(async ({ request }, fds) => ({ text: await read(request.file, fds) })),

  get: handler(async (_call, fds) => ({ file: fds.sendFilename('package.json', { flags: 'r' }).ref })),

  putAll: handler(async (call, fds) => {
    const texts: string[] = [];
    for await (const { file } of call) texts.push(await read(file, fds));
    return { text: texts.join('') };
  }),

  getAll: handler(async (call, fds) => {
    for (const path of ['package.json', 'tsconfig.json']) {
      call.write({ file: fds.sendFilename(path, { flags: 'r' }).ref });
    }
  }),

  exchange: handler(async (call, fds) => {
    for await (const { file } of call) {
      await using received = await fds.recvFile(file);
      call.write({ file: fds.sendFile(received).ref });
    }
  }),
};

export async function listen(address: string, inner?: ServerCredentials): Promise<Server> {
  const server = new Server();
  server.addService(storeDefinition, store);
  await promisify(server.bindAsync.bind(server))(address, serverCredentials(inner));
  return server;
}

async function read(name: string, fds: FdServerCall): Promise<string> {
  await using file = await fds.recvFile(name); // closed at the end of the block
  return String(await file.readFile());
}
