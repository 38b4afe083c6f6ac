import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import type { ConnectionOptions } from 'node:tls';
import { Code, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { callCredentials, type FdCallCredentials } from 'grpcfd';
import { transportOptions, withFds } from 'grpcfd/connect';
import { Store } from './generated/store_pb.js';

const PATHS = ['package.json', 'tsconfig.json'];

export async function run(address: string, tls?: ConnectionOptions): Promise<void> {
  const options = transportOptions(address, { tls });
  const client = createClient(Store, createGrpcTransport(options));
  const contents = await Promise.all(PATHS.map((path) => readFile(path, 'utf8')));

  {
    using fds = callCredentials(); // for one call
    const { ref } = fds.sendFilename('package.json', { flags: 'r' });
    const { text } = await client.put({ file: ref }, withFds(fds));
    assert.equal(text, contents[0]);
    console.log('put: the server read the file of the client');
  }
  {
    using fds = callCredentials();
    const { file } = await client.get({}, withFds(fds));
    assert.equal(await read(file, fds), contents[0]);
    console.log('get: the client read the file of the server');
  }
  {
    using fds = callCredentials();
    const { text } = await client.putAll(send(fds), withFds(fds));
    assert.equal(text, contents.join(''));
    console.log('putAll: the server read two files of one stream');
  }
  {
    using fds = callCredentials();
    const texts: string[] = [];
    for await (const { file } of client.getAll({}, withFds(fds))) texts.push(await read(file, fds));
    assert.deepEqual(texts, contents);
    console.log('getAll: the client read two files of one stream');
  }
  {
    using fds = callCredentials();
    const texts: string[] = [];
    for await (const { file } of client.exchange(send(fds), withFds(fds))) texts.push(await read(file, fds));
    assert.deepEqual(texts, contents);
    console.log('exchange: two files went there and back');
  }
  {
    using fds = callCredentials();
    const failure = await client.put({ file: 'fd:nobody:1' }, withFds(fds)).catch((error) => error);
    console.log(`a wrong name: ${Code[failure.code]}`);
  }
  // Closes the connection, which the server of this process waits for. An idle one does not keep a process of its own alive.
  options.sessionManager.abort();
}

async function* send(fds: FdCallCredentials): AsyncGenerator<{ file: string }> {
  for (const path of PATHS) yield { file: fds.sendFilename(path, { flags: 'r' }).ref };
}

async function read(name: string, fds: FdCallCredentials): Promise<string> {
  await using file = await fds.recvFile(name);
  return String(await file.readFile());
}
