/** The service of the benchmark. Messages are bytes, so that only the transport is measured. */
import * as grpc from '@grpc/grpc-js';

/** One of the two sides: this package, or stock grpc-js. */
export type Flavour = 'ours' | 'stock';

/** How the two processes of a side are connected. */
export interface Link {
  readonly flavour: Flavour;
  /** The path of the socket. */
  readonly path: string;
  /** `grpc-node.flow_control_window`; absent: the default. */
  readonly window?: number;
  /** Files with a self-signed key and certificate; absent: no TLS. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

export const PIECE_BYTES = 64 * 1024;

const same = (bytes: Buffer) => bytes;

function method(name: string, requestStream: boolean, responseStream: boolean) {
  return {
    path: `/grpcfd.bench.Bench/${name}`,
    requestStream,
    responseStream,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

export const benchService = {
  /** The request is the reply. */
  echo: method('Echo', false, false),
  /** The reply is as many pieces as the request says. */
  down: method('Down', false, true),
  up: method('Up', true, false),
  /** The request names descriptors, one to a line; the server receives and closes them. */
  take: method('Take', false, false),
  /** The request says how many; the reply names them. */
  give: method('Give', false, false),
  /** The reply names the one file that holds the payload. */
  payload: method('Payload', false, false),
} satisfies grpc.ServiceDefinition;

export function channelOptions({ window }: Link): grpc.ChannelOptions {
  return {
    'grpc.max_receive_message_length': -1,
    'grpc.use_local_subchannel_pool': 1,
    ...(window === undefined ? {} : { 'grpc-node.flow_control_window': window }),
  };
}

export function joinNames(names: readonly string[]): Buffer {
  return Buffer.from(names.join('\n'));
}

export function splitNames(bytes: Buffer): string[] {
  return bytes.length === 0 ? [] : bytes.toString().split('\n');
}

/** A client of either flavour, with promises. */
export class BenchClient extends grpc.Client {
  call(
    method: 'echo' | 'take' | 'give' | 'payload',
    request: Buffer,
    options: grpc.CallOptions = {},
  ): Promise<Buffer> {
    const { path, requestSerialize, responseDeserialize } = benchService[method];
    return new Promise((resolve, reject) => {
      this.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, options, (error, reply) =>
        error ? reject(error) : resolve(reply ?? Buffer.alloc(0)),
      );
    });
  }

  down(pieces: number): grpc.ClientReadableStream<Buffer> {
    const { path, requestSerialize, responseDeserialize } = benchService.down;
    return this.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      Buffer.from(String(pieces)),
    );
  }

  up(callback: (error: grpc.ServiceError | null) => void): grpc.ClientWritableStream<Buffer> {
    const { path, requestSerialize, responseDeserialize } = benchService.up;
    return this.makeClientStreamRequest(path, requestSerialize, responseDeserialize, callback);
  }
}
