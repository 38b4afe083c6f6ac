import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import type { CallOptions, ChannelCredentials } from '@grpc/grpc-js';
import { GrpcTransport } from '@protobuf-ts/grpc-transport';
import type { RpcOptions } from '@protobuf-ts/runtime-rpc';
import { callCredentials, channelCredentials, type FdCallCredentials } from 'grpcfd';
import type { File } from './generated/store';
import { StoreClient } from './generated/store.client';

const PATHS = ['package.json', 'tsconfig.json'];

/** The transport of protobuf-ts passes these on to grpc-js. */
function withFds(fds: FdCallCredentials): RpcOptions & { callOptions: CallOptions } {
  return { callOptions: fds.options() };
}

export async function run(host: string, inner?: ChannelCredentials): Promise<void> {
  const transport = new GrpcTransport({ host, channelCredentials: channelCredentials(inner) });
  const client = new StoreClient(transport);
  const contents = await Promise.all(PATHS.map((path) => readFile(path, 'utf8')));

  {
    using fds = callCredentials(); // for one call
    const { ref } = fds.sendFilename('package.json', { flags: 'r' });
    const { response } = await client.put({ file: ref }, withFds(fds));
    assert.equal(response.text, contents[0]);
    console.log('put: the server read the file of the client');
  }
  {
    using fds = callCredentials();
    const { response } = await client.get({ text: '' }, withFds(fds));
    assert.equal(await read(response.file, fds), contents[0]);
    console.log('get: the client read the file of the server');
  }
  {
    using fds = callCredentials();
    const call = client.putAll(withFds(fds));
    await send(call.requests, fds);
    const { text } = await call.response;
    assert.equal(text, contents.join(''));
    console.log('putAll: the server read two files of one stream');
  }
  {
    using fds = callCredentials();
    const texts: string[] = [];
    const { responses } = client.getAll({ text: '' }, withFds(fds));
    for await (const { file } of responses) texts.push(await read(file, fds));
    assert.deepEqual(texts, contents);
    console.log('getAll: the client read two files of one stream');
  }
  {
    using fds = callCredentials();
    const texts: string[] = [];
    const call = client.exchange(withFds(fds));
    await send(call.requests, fds);
    for await (const { file } of call.responses) texts.push(await read(file, fds));
    assert.deepEqual(texts, contents);
    console.log('exchange: two files went there and back');
  }
  {
    using fds = callCredentials();
    const call = client.put({ file: 'fd:nobody:1' }, withFds(fds));
    const code = await call.response.then(String, (error) => error.code);
    console.log(`a wrong name: ${code}`);
  }
  transport.close();
}

async function send(
  requests: { send(file: File): Promise<void>; complete(): Promise<void> },
  fds: FdCallCredentials,
): Promise<void> {
  for (const path of PATHS) await requests.send({ file: fds.sendFilename(path, { flags: 'r' }).ref });
  await requests.complete();
}

async function read(name: string, fds: FdCallCredentials): Promise<string> {
  await using file = await fds.recvFile(name);
  return String(await file.readFile());
}
