import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { type ChannelCredentials, status } from '@grpc/grpc-js';
import { type DynamicModule, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type ClientGrpc, ClientsModule, Transport } from '@nestjs/microservices';
import { callCredentials, channelCredentials, type FdCallCredentials } from 'grpcfd';
import { concatMap, firstValueFrom, from, lastValueFrom, map, type Observable, toArray } from 'rxjs';
import type { File, StoreClient } from './store.js';

@Module({})
class ClientModule {
  static at(url: string, inner?: ChannelCredentials): DynamicModule {
    const client = ClientsModule.register([
      {
        name: 'store',
        transport: Transport.GRPC,
        options: { package: 'store', protoPath: 'store.proto', url, credentials: channelCredentials(inner) },
      },
    ]);
    return { module: ClientModule, imports: [client] };
  }
}

const PATHS = ['package.json', 'tsconfig.json'];

export async function run(url: string, inner?: ChannelCredentials): Promise<void> {
  const app = await NestFactory.createApplicationContext(ClientModule.at(url, inner), {
    logger: ['warn', 'error'],
  });
  const store = app.get<ClientGrpc>('store').getService<StoreClient>('Store');
  const contents = await Promise.all(PATHS.map((path) => readFile(path, 'utf8')));

  {
    using fds = callCredentials(); // for one call
    const { ref } = fds.sendFilename('package.json', { flags: 'r' });
    const { text } = await firstValueFrom(store.put({ file: ref }, fds.options()));
    assert.equal(text, contents[0]);
    console.log('put: the server read the file of the client');
  }
  {
    using fds = callCredentials();
    const { file } = await firstValueFrom(store.get({}, fds.options()));
    assert.equal(await read(file, fds), contents[0]);
    console.log('get: the client read the file of the server');
  }
  {
    using fds = callCredentials();
    const { text } = await firstValueFrom(store.putAll(send(fds), fds.options()));
    assert.equal(text, contents.join(''));
    console.log('putAll: the server read two files of one stream');
  }
  {
    using fds = callCredentials();
    const files = store.getAll({}, fds.options());
    assert.deepEqual(await readAll(files, fds), contents);
    console.log('getAll: the client read two files of one stream');
  }
  {
    using fds = callCredentials();
    const files = store.exchange(send(fds), fds.options());
    assert.deepEqual(await readAll(files, fds), contents);
    console.log('exchange: two files went there and back');
  }
  {
    using fds = callCredentials();
    const reply = firstValueFrom(store.put({ file: 'fd:nobody:1' }, fds.options()));
    const failure = await reply.catch((error) => error);
    console.log(`a wrong name: ${status[failure.code]}`);
  }
  await app.close();
}

function send(fds: FdCallCredentials): Observable<File> {
  return from(PATHS).pipe(map((path) => ({ file: fds.sendFilename(path, { flags: 'r' }).ref })));
}

function readAll(files: Observable<File>, fds: FdCallCredentials): Promise<string[]> {
  return lastValueFrom(
    files.pipe(
      concatMap(({ file }) => read(file, fds)),
      toArray(),
    ),
  );
}

async function read(name: string, fds: FdCallCredentials): Promise<string> {
  await using file = await fds.recvFile(name);
  return String(await file.readFile());
}
