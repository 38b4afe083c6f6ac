/** A gRPC client that can send any metadata, over a socket that carries descriptors. */
import { once } from 'node:events';
import { type ClientHttp2Session, connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { connect, type FdSocket } from 'grpcfd/socket';
import { defer } from '../support/fd-table.js';
import { type Message, testService } from '../support/service.js';

export class RawClient {
  readonly socket: FdSocket;
  readonly #session: ClientHttp2Session;

  private constructor(socket: FdSocket) {
    this.socket = socket;
    this.#session = connectHttp2('http://localhost', { createConnection: () => socket });
    defer(() => this.#session.destroy());
  }

  /** The end of the test destroys the socket. */
  static async connect(address: string): Promise<RawClient> {
    return new RawClient(await connect(address.replace(/^unix:/, '')));
  }

  get alive(): boolean {
    return !this.#session.closed && !this.#session.destroyed;
  }

  /** A unary call of the test service; rejects where HTTP/2 refuses it. */
  async unary(request: Message, metadata: Record<string, string | string[]>): Promise<Message> {
    const stream = this.#session.request({
      ':method': 'POST',
      ':path': testService.unary.path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...metadata,
    });
    stream.end(frame(testService.unary.requestSerialize(request)));
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    let trailers: IncomingHttpHeaders = {};
    // A call that fails without a reply has its trailers in the headers of the response.
    for (const event of ['response', 'trailers']) {
      stream.on(event, (headers: IncomingHttpHeaders) => {
        trailers = headers;
      });
    }
    await once(stream, 'end');
    if (trailers['grpc-status'] !== '0')
      throw new Error(`${trailers['grpc-status']} ${trailers['grpc-message']}`);
    return testService.unary.responseDeserialize(Buffer.concat(chunks).subarray(5));
  }
}

/** A gRPC message: the flag "not compressed", the length, and the bytes. */
function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
