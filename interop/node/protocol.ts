/** The two .proto files as loaded for grpc-js, and the types of their messages. */
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

export type Kind = 'REGULAR' | 'UNLINKED' | 'MEMFD' | 'SOCKET' | 'DIRECTORY' | 'PROC_FD' | 'NETNS';

export interface File {
  readonly url: string;
  readonly kind: Kind;
  readonly evidence: string;
}

export interface Order {
  readonly kind: Kind;
  readonly count: number;
}

export interface Request {
  readonly files?: readonly File[];
  readonly order?: Order | null;
  readonly receiveMs: number;
}

export interface Outcome {
  received: number;
  failures: string[];
}

export interface Reply {
  readonly files?: readonly File[];
  readonly outcome?: Outcome | null;
}

export interface HealthReply {
  readonly status: string;
}

const definition = loadSync(['interop.proto', 'health.proto'], {
  includeDirs: [fileURLToPath(new URL('../../../interop/proto', import.meta.url))],
  defaults: true,
  enums: String,
});

function serviceOf(name: string): grpc.ServiceDefinition {
  const service = definition[name];
  if (service === undefined || 'format' in service) throw new Error(`no service ${name} in the .proto files`);
  return service;
}

export const exchangeService = serviceOf('grpcfd.interop.v1.Exchange');
export const healthService = serviceOf('grpc.health.v1.Health');

/** A client of one of the two services, on a channel that may be shared. */
export function clientOf<Client extends grpc.Client>(
  service: grpc.ServiceDefinition,
  channel: grpc.Channel,
): Client {
  const Constructor = grpc.makeClientConstructor(service, '');
  const unused = grpc.credentials.createInsecure();
  return new Constructor('', unused, { channelOverride: channel }) as unknown as Client;
}

export interface ExchangeClient extends grpc.Client {
  unary(
    request: Request,
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
    callback: grpc.requestCallback<Reply>,
  ): grpc.ClientUnaryCall;
  clientStream(
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
    callback: grpc.requestCallback<Reply>,
  ): grpc.ClientWritableStream<Request>;
  serverStream(
    request: Request,
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
  ): grpc.ClientReadableStream<Reply>;
  bidi(metadata: grpc.Metadata, options: grpc.CallOptions): grpc.ClientDuplexStream<Request, Reply>;
}

export interface HealthClient extends grpc.Client {
  check(
    request: { service: string },
    options: grpc.CallOptions,
    callback: grpc.requestCallback<HealthReply>,
  ): grpc.ClientUnaryCall;
}
