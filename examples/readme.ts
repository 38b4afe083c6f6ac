// The programs of the README. A test runs this file, and checks that the README shows the parts between the markers.
import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import * as grpcfd from 'grpcfd';
import { connect, listen } from 'grpcfd/socket';

const directory = mkdtempSync(join(tmpdir(), 'grpcfd-readme-'));
const address = `unix:${join(directory, 'store.sock')}`;
const definition = loadSync(
  ['demo/store.proto', 'readme.proto'].map((path) =>
    fileURLToPath(new URL(`../../examples/${path}`, import.meta.url)),
  ),
);

interface StoreClient extends grpc.Client {
  put(
    request: { file: string },
    options: grpc.CallOptions,
    callback: (error: grpc.ServiceError | null, reply: { bytes: string }) => void,
  ): grpc.ClientUnaryCall;
}
interface ConvertRequest {
  format: string;
  input: string;
  output: string;
}
interface ConverterClient extends grpc.Client {
  convert(
    request: ConvertRequest,
    options: grpc.CallOptions,
    callback: (error: grpc.ServiceError | null) => void,
  ): grpc.ClientUnaryCall;
}
interface ServiceConstructor<Client> {
  new (...args: ConstructorParameters<typeof grpc.Client>): Client;
  readonly service: grpc.ServiceDefinition;
}
const packages = grpc.loadPackageDefinition(definition) as unknown as {
  grpcfd: {
    demo: { Store: ServiceConstructor<StoreClient> };
    readme: { Converter: ServiceConstructor<ConverterClient> };
  };
};
const { Store } = packages.grpcfd.demo;
const { Converter } = packages.grpcfd.readme;

type PutCall = grpc.ServerUnaryCall<{ file: string }, { bytes: number }>;
type ConvertCall = grpc.ServerUnaryCall<ConvertRequest, object>;

async function main(): Promise<void> {
  const bound = promiseWithResolvers();
  const onBound = (error: Error | null) => (error ? bound.reject(error) : bound.resolve());

  // readme: server
  const server = new grpcfd.Server(); // a grpc.Server
  server.addService(Store.service, {
    put: grpcfd.handler(async (call: PutCall, fds) => {
      await using file = await fds.recvFile(call.request.file); // closed when the handler is done
      return { bytes: (await file.readFile()).length }; // a rejection becomes the call's status
    }),
  });
  server.bindAsync(address, grpcfd.serverCredentials(), onBound);
  // readme: end

  await bound.promise;
  const file = await open('/proc/self/status');
  const replied = promiseWithResolvers();
  const callback = (error: grpc.ServiceError | null, reply: { bytes: string }) => {
    console.log('put:', error ?? `the server read ${reply.bytes} bytes`);
    replied.resolve();
  };

  // readme: client
  const client = new Store(address, grpcfd.channelCredentials());
  const fds = grpcfd.callCredentials(); // for one call; wraps your own CallCredentials, if any
  const { ref } = fds.sendFile(file); // a duplicate is sent: yours stays yours
  client.put({ file: ref }, fds.options({ deadline: Date.now() + 5_000 }), callback);
  // readme: end

  await replied.promise;
  await file.close();
  fds.close();
  client.close();

  await convert(server);
  await new Promise((resolve) => server.tryShutdown(resolve));
}

async function convert(server: grpc.Server): Promise<void> {
  const client = new Converter(address, grpcfd.channelCredentials());
  const fds = grpcfd.callCredentials();
  const input = await open('/proc/self/status');
  const output = await open(join(directory, 'output'), 'wx+');
  const converted = promiseWithResolvers();
  const callback = (error: Error | null) => (error ? converted.reject(error) : converted.resolve());

  // readme: references
  server.addService(Converter.service, {
    convert: grpcfd.handler(async (call: ConvertCall, fds) => {
      await using files = await fds.recvFiles(call.request, ['input', 'output']);
      await pipeline(files.input.createReadStream(), files.output.createWriteStream());
      return {};
    }),
  });
  client.convert({ format: 'text', ...fds.refs({ input, output }) }, fds.options(), callback);
  // readme: end

  await converted.promise;
  console.log(`convert: the server wrote ${(await output.stat()).size} bytes`);
  for (const file of [input, output]) await file.close();
  fds.close();
  client.close();
}

async function withoutGrpc(): Promise<void> {
  const path = join(directory, 'raw.sock');
  const used = promiseWithResolvers();
  const use = (fd: number) => {
    console.log(`raw: received descriptor ${fd}`);
    closeSync(fd);
    used.resolve();
  };

  // readme: socket
  const listener = await listen({ path });
  listener.on('connection', (socket) => {
    socket.on('fds', (received) => received.forEach(use)); // yours to close
    socket.resume();
  });
  const socket = await connect(path);
  socket.writeWithFds('standard output', [1]); // 1 is only borrowed, until this returns
  socket.end();
  // readme: end

  await used.promise;
  await listener.close();
}

/** Promise.withResolvers, which Node 20 lacks. */
function promiseWithResolvers() {
  let resolve: () => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<void>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}

await main();
await withoutGrpc();
rmSync(directory, { recursive: true });
