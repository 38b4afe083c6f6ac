/** A service of all four kinds of methods whose messages are JSON, and servers and clients for it on a fresh unix socket. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { certificates } from './certificates.js';
import { defer } from './fd-table.js';
import { temporaryDirectory } from './temporary.js';

/** Any JSON value. */
export type Message = Record<string, unknown>;

function method(name: string, requestStream: boolean, responseStream: boolean) {
  const serialize = (message: Message) => Buffer.from(JSON.stringify(message));
  const deserialize = (bytes: Buffer) => JSON.parse(bytes.toString()) as Message;
  return {
    path: `/grpcfd.test.Test/${name}`,
    requestStream,
    responseStream,
    requestSerialize: serialize,
    requestDeserialize: deserialize,
    responseSerialize: serialize,
    responseDeserialize: deserialize,
  };
}

export const testService = {
  unary: method('Unary', false, false),
  clientStream: method('ClientStream', true, false),
  serverStream: method('ServerStream', false, true),
  bidi: method('Bidi', true, true),
} satisfies grpc.ServiceDefinition;

export interface TestHandlers {
  unary?: grpc.handleUnaryCall<Message, Message>;
  clientStream?: grpc.handleClientStreamingCall<Message, Message>;
  serverStream?: grpc.handleServerStreamingCall<Message, Message>;
  bidi?: grpc.handleBidiStreamingCall<Message, Message>;
}

export type Security = 'plaintext' | 'TLS' | 'mutual TLS';
export const SECURITIES: readonly Security[] = ['plaintext', 'TLS', 'mutual TLS'];

/** Stock credentials, which tests use alone or inside those of this package. */
export async function stockServerCredentials(security: Security): Promise<grpc.ServerCredentials> {
  if (security === 'plaintext') return grpc.ServerCredentials.createInsecure();
  const { server, client } = await certificates();
  const pair = { private_key: server.key, cert_chain: server.cert };
  return grpc.ServerCredentials.createSsl(client.cert, [pair], security === 'mutual TLS');
}

export async function stockChannelCredentials(security: Security): Promise<grpc.ChannelCredentials> {
  if (security === 'plaintext') return grpc.credentials.createInsecure();
  const { server, client } = await certificates();
  return security === 'TLS'
    ? grpc.credentials.createSsl(server.cert)
    : grpc.credentials.createSsl(server.cert, client.key, client.cert);
}

export function bind(
  server: grpc.Server,
  address: string,
  credentials: grpc.ServerCredentials,
): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, port) => (error ? reject(error) : resolve(port)));
  });
}

/** Resolves when all connections have closed. With a leak, the test fails by its timeout. */
export function shutDown(server: grpc.Server): Promise<void> {
  return new Promise((resolve, reject) => server.tryShutdown((error) => (error ? reject(error) : resolve())));
}

/** A fresh `unix:` address. Its directory is removed at the end of the test. */
export function freshAddress(): string {
  return `unix:${join(temporaryDirectory(), `${randomUUID().slice(0, 8)}.sock`)}`;
}

export interface ServeOptions {
  security?: Security;
  address?: string;
  options?: grpcfd.FdServerOptions;
  serverOptions?: grpc.ServerOptions;
}

/** A grpcfd.Server with these handlers; shut down at the end of the test. */
export async function serve(
  handlers: TestHandlers,
  { security = 'plaintext', address = freshAddress(), options, serverOptions }: ServeOptions = {},
): Promise<{ server: grpcfd.Server; address: string }> {
  const server = new grpcfd.Server(serverOptions);
  server.addService(testService, { ...handlers });
  await bind(server, address, grpcfd.serverCredentials(await stockServerCredentials(security), options));
  defer(() => shutDown(server));
  return { server, address };
}

const TestServiceClient = grpc.makeGenericClientConstructor(testService, 'Test');

/** A client of the test service with promises for unary calls; closed at the end of the test. */
export class TestClient {
  readonly grpc: grpc.Client;

  constructor(
    address: string,
    credentials: grpc.ChannelCredentials,
    options: Partial<grpc.ClientOptions> = {},
  ) {
    this.grpc = new TestServiceClient(address, credentials, options);
    defer(() => this.grpc.close());
  }

  unary(request: Message, options: grpc.CallOptions = {}, metadata = new grpc.Metadata()): Promise<Message> {
    const { path, requestSerialize, responseDeserialize } = testService.unary;
    return new Promise((resolve, reject) => {
      this.grpc.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        options,
        (error, reply) => (error ? reject(error) : resolve(reply as Message)),
      );
    });
  }

  /** The call, and the promise of its reply. */
  clientStream(options: grpc.CallOptions = {}): {
    call: grpc.ClientWritableStream<Message>;
    reply: Promise<Message>;
  } {
    const { path, requestSerialize, responseDeserialize } = testService.clientStream;
    const { promise, resolve, reject } = withResolvers<Message>();
    const call = this.grpc.makeClientStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      options,
      (error, reply) => (error ? reject(error) : resolve(reply as Message)),
    );
    return { call, reply: promise };
  }

  serverStream(request: Message, options: grpc.CallOptions = {}): grpc.ClientReadableStream<Message> {
    const { path, requestSerialize, responseDeserialize } = testService.serverStream;
    return this.grpc.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, options);
  }

  bidi(options: grpc.CallOptions = {}): grpc.ClientDuplexStream<Message, Message> {
    const { path, requestSerialize, responseDeserialize } = testService.bidi;
    return this.grpc.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, options);
  }
}

/** A client whose connections carry descriptors. */
export async function dial(
  address: string,
  { security = 'plaintext', options, clientOptions }: DialOptions = {},
): Promise<TestClient> {
  const credentials = grpcfd.channelCredentials(await stockChannelCredentials(security), options);
  return new TestClient(address, credentials, clientOptions);
}

export interface DialOptions {
  security?: Security;
  options?: grpcfd.FdChannelOptions;
  clientOptions?: Partial<grpc.ClientOptions>;
}

/** Promise.withResolvers, which Node 20 lacks. */
export function withResolvers<T>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: unknown) => void;
} {
  let resolve: (value: T) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}

/** Waits until the client has a connection. */
export function ready(client: TestClient): Promise<void> {
  return new Promise((resolve, reject) => {
    client.grpc.waitForReady(Date.now() + 20_000, (error) => (error ? reject(error) : resolve()));
  });
}
