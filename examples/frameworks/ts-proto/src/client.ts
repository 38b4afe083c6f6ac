// A client of the output for grpc-js.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { type ChannelCredentials, Metadata, status } from '@grpc/grpc-js';
import { callCredentials, channelCredentials, type FdCallCredentials } from 'grpcfd';
import { type File, StoreClient, type Text } from './generated/grpc-js/store.js';

const PATHS = ['package.json', 'tsconfig.json'];

export async function run(address: string, inner?: ChannelCredentials): Promise<void> {
  const client = new StoreClient(address, channelCredentials(inner));
  const contents = await Promise.all(PATHS.map((path) => readFile(path, 'utf8')));
  const put = (request: File, fds: FdCallCredentials) =>
    new Promise<Text>((resolve, reject) => {
      // In the types of ts-proto, options of a unary call follow its metadata.
      client.put(request, new Metadata(), fds.options(), (error, reply) =>
        error ? reject(error) : resolve(reply),
      );
    });

  {
    using fds = callCredentials(); // for one call
    const { text } = await put({ file: fds.sendFilename('package.json', { flags: 'r' }).ref }, fds);
    assert.equal(text, contents[0]);
    console.log('put: the server read the file of the client');
  }
  {
    using fds = callCredentials();
    const { file } = await new Promise<File>((resolve, reject) => {
      client.get({ text: '' }, new Metadata(), fds.options(), (error, reply) =>
        error ? reject(error) : resolve(reply),
      );
    });
    assert.equal(await read(file, fds), contents[0]);
    console.log('get: the client read the file of the server');
  }
  {
    using fds = callCredentials();
    const { text } = await new Promise<Text>((resolve, reject) => {
      const call = client.putAll(fds.options(), (error, reply) => (error ? reject(error) : resolve(reply)));
      send(call, fds);
    });
    assert.equal(text, contents.join(''));
    console.log('putAll: the server read two files of one stream');
  }
  {
    using fds = callCredentials();
    const texts: string[] = [];
    for await (const { file } of client.getAll({ text: '' }, fds.options()))
      texts.push(await read(file, fds));
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
    const failure = await put({ file: 'fd:nobody:1' }, fds).catch((error) => error);
    console.log(`a wrong name: ${status[failure.code]}`);
  }
  client.close();
}

function send(call: { write(file: File): boolean; end(): void }, fds: FdCallCredentials): void {
  for (const path of PATHS) call.write({ file: fds.sendFilename(path, { flags: 'r' }).ref });
  call.end();
}

async function read(name: string, fds: FdCallCredentials): Promise<string> {
  await using file = await fds.recvFile(name);
  return String(await file.readFile());
}
