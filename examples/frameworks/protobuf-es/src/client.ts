import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import * as grpc from '@grpc/grpc-js';
import { callCredentials, channelCredentials, type FdCallCredentials } from 'grpcfd';
import { type File, Store, type Text } from './generated/store_pb.js';
import { definitionOf } from './grpc-js.js';

const PATHS = ['package.json', 'tsconfig.json'];
const Client = grpc.makeGenericClientConstructor(definitionOf(Store), 'Store');

export async function run(address: string, inner?: grpc.ChannelCredentials): Promise<void> {
  // Clients that are made of a definition have no types.
  // biome-ignore lint/suspicious/noExplicitAny: see above
  const client: any = new Client(address, channelCredentials(inner));
  const put: (request: object, options: grpc.CallOptions) => Promise<Text> = promisify(
    client.put.bind(client),
  );
  const get: (request: object, options: grpc.CallOptions) => Promise<File> = promisify(
    client.get.bind(client),
  );
  const contents = await Promise.all(PATHS.map((path) => readFile(path, 'utf8')));

  {
    using fds = callCredentials(); // for one call
    const { ref } = fds.sendFilename('package.json', { flags: 'r' });
    const { text } = await put({ file: ref }, fds.options());
    assert.equal(text, contents[0]);
    console.log('put: the server read the file of the client');
  }
  {
    using fds = callCredentials();
    const { file } = await get({}, fds.options());
    assert.equal(await read(file, fds), contents[0]);
    console.log('get: the client read the file of the server');
  }
  {
    using fds = callCredentials();
    const { text } = await new Promise<Text>((resolve, reject) => {
      const call = client.putAll(fds.options(), (error: grpc.ServiceError | null, reply: Text) =>
        error ? reject(error) : resolve(reply),
      );
      send(call, fds);
    });
    assert.equal(text, contents.join(''));
    console.log('putAll: the server read two files of one stream');
  }
  {
    using fds = callCredentials();
    const texts: string[] = [];
    for await (const { file } of client.getAll({}, fds.options())) texts.push(await read(file, fds));
    assert.deepEqual(texts, contents);
    console.log('getAll: the client read two files of one stream');
  }
  {
    using fds = callCredentials();
    const texts: string[] = [];
    const call = client.exchange(fds.options());
    send(call, fds);
    for await (const { file } of call) texts.push(await read(file, fds));
    assert.deepEqual(texts, contents);
    console.log('exchange: two files went there and back');
  }
  {
    using fds = callCredentials();
    const failure = await put({ file: 'fd:nobody:1' }, fds.options()).catch((error) => error);
    console.log(`a wrong name: ${grpc.status[failure.code]}`);
  }
  client.close();
}

function send(call: { write(file: object): boolean; end(): void }, fds: FdCallCredentials): void {
  for (const path of PATHS) call.write({ file: fds.sendFilename(path, { flags: 'r' }).ref });
  call.end();
}

async function read(name: string, fds: FdCallCredentials): Promise<string> {
  await using file = await fds.recvFile(name);
  return String(await file.readFile());
}
