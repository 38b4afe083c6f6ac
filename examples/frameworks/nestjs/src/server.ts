import 'reflect-metadata';
import 'grpcfd/register'; // NestJS creates the grpc.Server itself
import type { ServerCredentials } from '@grpc/grpc-js';
import { Controller, type INestMicroservice, Module, UseFilters } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  GrpcMethod,
  GrpcStreamMethod,
  type MicroserviceOptions,
  Payload,
  Transport,
} from '@nestjs/microservices';
import { type FdServerCall, serverCredentials } from 'grpcfd';
import { concatMap, from, map, type Observable, reduce } from 'rxjs';
import { Fds, GrpcFdFilter } from './descriptors.js';
import type { File, Text } from './store.js';

@Controller()
@UseFilters(new GrpcFdFilter())
class Store {
  @GrpcMethod()
  async put(@Payload() { file }: File, @Fds() fds: FdServerCall): Promise<Text> {
    return { text: await read(file, fds) };
  }

  @GrpcMethod()
  get(@Fds() fds: FdServerCall): File {
    return { file: fds.sendFilename('package.json', { flags: 'r' }).ref };
  }

  @GrpcStreamMethod()
  putAll(@Payload() files: Observable<File>, @Fds() fds: FdServerCall): Observable<Text> {
    return files.pipe(
      concatMap(({ file }) => read(file, fds)),
      reduce((all, each) => all + each, ''),
      map((text) => ({ text })),
    );
  }

  @GrpcMethod()
  getAll(@Fds() fds: FdServerCall): Observable<File> {
    const paths = from(['package.json', 'tsconfig.json']);
    return paths.pipe(map((path) => ({ file: fds.sendFilename(path, { flags: 'r' }).ref })));
  }

  @GrpcStreamMethod()
  exchange(@Payload() files: Observable<File>, @Fds() fds: FdServerCall): Observable<File> {
    return files.pipe(
      concatMap(async ({ file }) => {
        await using received = await fds.recvFile(file);
        return { file: fds.sendFile(received).ref };
      }),
    );
  }
}

@Module({ controllers: [Store] })
class StoreModule {}

export async function listen(url: string, inner?: ServerCredentials): Promise<INestMicroservice> {
  const server = await NestFactory.createMicroservice<MicroserviceOptions>(StoreModule, {
    transport: Transport.GRPC,
    options: { package: 'store', protoPath: 'store.proto', url, credentials: serverCredentials(inner) },
    logger: ['warn', 'error'],
  });
  await server.listen();
  return server;
}

async function read(name: string, fds: FdServerCall): Promise<string> {
  await using file = await fds.recvFile(name); // closed at the end of the block
  return String(await file.readFile());
}
