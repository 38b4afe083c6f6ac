import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import type { ChannelCredentials } from '@grpc/grpc-js';
import { callCredentials, channelCredentials, type FdCallCredentials } from 'grpcfd';
import { clientMiddleware, createChannel } from 'grpcfd/nice';
import { createClientFactory, Status } from 'nice-grpc';
import { type File, StoreDefinition } from './generated/store.js';

const PATHS = ['package.json', 'tsconfig.json'];

export async function run(address: string, inner?: ChannelCredentials): Promise<void> {
  const channel = createChannel(address, channelCredentials(inner));
  const client = createClientFactory().use(clientMiddleware).create(StoreDefinition, channel);
  const contents = await Promise.all(PATHS.map((path) => readFile(path, 'utf8')));

  {
    using fds = callCredentials(); // for one call
    const { text } = await client.put(
      { file: fds.sendFilename('package.json', { flags: 'r' }).ref },
      { fds },
    );
    assert.equal(text, contents[0]);
    console.log('put: the server read the file of the client');
  }
  {
    using fds = callCredentials();
    const { file } = await client.get({}, { fds });
    assert.equal(await read(file, fds), contents[0]);
    console.log('get: the client read the file of the server');
  }
  {
    using fds = callCredentials();
    const { text } = await client.putAll(send(fds), { fds });
    assert.equal(text, contents.join(''));
    console.log('putAll: the server read two files of one stream');
  }
  {
    using fds = callCredentials();
    const texts: string[] = [];
    for await (const { file } of client.getAll({}, { fds })) texts.push(await read(file, fds));
    assert.deepEqual(texts, contents);
    console.log('getAll: the client read two files of one stream');
  }
  {
    using fds = callCredentials();
    const texts: string[] = [];
    for await (const { file } of client.exchange(send(fds), { fds })) texts.push(await read(file, fds));
    assert.deepEqual(texts, contents);
    console.log('exchange: two files went there and back');
  }
  {
    using fds = callCredentials();
    const failure = await client.put({ file: 'fd:nobody:1' }, { fds }).catch((error) => error);
    console.log(`a wrong name: ${Status[failure.code]}`);
  }
  channel.close();
}

async function* send(fds: FdCallCredentials): AsyncGenerator<Partial<File>> {
  for (const path of PATHS) yield { file: fds.sendFilename(path, { flags: 'r' }).ref };
}

async function read(name: string, fds: FdCallCredentials): Promise<string> {
  await using file = await fds.recvFile(name);
  return String(await file.readFile());
}
