import { promisify } from 'node:util';
import type * as grpc from '@grpc/grpc-js';
import { type FdServerCall, handler, Server, serverCredentials } from 'grpcfd';
import { type File, Store, type Text } from './generated/store_pb.js';
import { definitionOf } from './grpc-js.js';

/** What a handler may reply with: messages without the fields that protobuf-es adds. */
type Plain<Message> = Omit<Message, '$typeName' | '$unknown'>;

const store = {
  put: handler(async ({ request }: grpc.ServerUnaryCall<File, Plain<Text>>, fds) => ({
    text: await read(request.file, fds),
  })),

  get: handler(async (_call: grpc.ServerUnaryCall<Text, Plain<File>>, fds) => ({
    file: fds.sendFilename('package.json', { flags: 'r' }).ref,
  })),

  putAll: handler(async (call: grpc.ServerReadableStream<File, Plain<Text>>, fds) => {
    const texts: string[] = [];
    for await (const { file } of call as AsyncIterable<File>) texts.push(await read(file, fds));
    return { text: texts.join('') };
  }),

  getAll: handler(async (call: grpc.ServerWritableStream<Text, Plain<File>>, fds) => {
    for (const path of ['package.json', 'tsconfig.json']) {
      call.write({ file: fds.sendFilename(path, { flags: 'r' }).ref });
    }
  }),

  exchange: handler(async (call: grpc.ServerDuplexStream<File, Plain<File>>, fds) => {
    for await (const { file } of call as AsyncIterable<File>) {
      await using received = await fds.recvFile(file);
      call.write({ file: fds.sendFile(received).ref });
    }
  }),
};

export async function listen(address: string, inner?: grpc.ServerCredentials): Promise<Server> {
  const server = new Server();
  server.addService(definitionOf(Store), store);
  await promisify(server.bindAsync.bind(server))(address, serverCredentials(inner));
  return server;
}

async function read(name: string, fds: FdServerCall): Promise<string> {
  await using file = await fds.recvFile(name); // closed at the end of the block
  return String(await file.readFile());
}
