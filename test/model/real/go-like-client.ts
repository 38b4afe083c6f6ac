/** A client like one of the Go package: it has no call credentials, sends on its connection, and knows names by inode only. */
import { once } from 'node:events';
import * as http2 from 'node:http2';
import { connect as connectSocket } from 'node:net';
import * as tls from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import { takeConnection } from '#src/grpc/internals/connected-socket.js';
import { certificates } from '../../support/certificates.js';
import type { Kind } from '../../support/kinds.js';
import { type Message, type Security, testService } from '../../support/service.js';
import type { RunningCall, Status } from './client-call.js';
import { Count } from './count.js';
import { GoLikeConnection } from './go-like-connection.js';

export class GoLikeClient {
  readonly #path: string;
  readonly #security: Security;
  #connecting: Promise<http2.ClientHttp2Session> | undefined;
  #connection: GoLikeConnection | undefined;

  constructor(path: string, security: Security) {
    this.#path = path;
    this.#security = security;
  }

  /** The last one. */
  get connection(): GoLikeConnection | undefined {
    return this.#connection;
  }

  async start(kind: Kind, id: string): Promise<RunningCall> {
    return new GoLikeCall(await this.#session(), kind, id);
  }

  /** Returns when its connection has closed, and the next call makes another. */
  async left(): Promise<void> {
    while (this.#connecting !== undefined) await new Promise((resolve) => setImmediate(resolve));
  }

  close(): void {
    this.#connection?.socket.destroy();
  }

  #session(): Promise<http2.ClientHttp2Session> {
    this.#connecting ??= this.#connect();
    return this.#connecting;
  }

  async #connect(): Promise<http2.ClientHttp2Session> {
    const plain = connectSocket(this.#path);
    await new Promise<void>((resolve, reject) => {
      plain.once('error', reject);
      // Nothing has been read in this turn.
      plain.once('connect', () => {
        this.#connection = new GoLikeConnection(takeConnection(plain));
        resolve();
      });
    });
    const { socket } = this.#connection as unknown as GoLikeConnection;
    socket.on('error', () => {});
    const transport = this.#security === 'plaintext' ? socket : await secure(socket);
    const session = http2.connect('http://localhost', { createConnection: () => transport });
    session.on('error', () => {});
    socket.once('close', () => {
      this.#connecting = undefined;
      session.destroy();
    });
    return session;
  }
}

async function secure(socket: import('node:net').Socket): Promise<tls.TLSSocket> {
  const { server, client } = await certificates();
  const identity = { ca: server.cert, key: client.key, cert: client.cert };
  const transport = tls.connect({ socket, servername: 'localhost', ALPNProtocols: ['h2'], ...identity });
  await once(transport, 'secureConnect');
  transport.on('error', () => {});
  return transport;
}

class GoLikeCall implements RunningCall {
  readonly headers = new Count();
  readonly messages = new Count();
  readonly status: Promise<Status>;
  readonly #stream: http2.ClientHttp2Stream;
  #cancelled = false;

  constructor(session: http2.ClientHttp2Session, kind: Kind, id: string) {
    const { path, requestStream } = testService[kind];
    this.#stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      'user-agent': 'grpc-go/1.85.0',
      te: 'trailers',
    });
    const first = frame({ call: id });
    if (requestStream) this.#stream.write(first);
    else this.#stream.end(first);
    this.status = this.#read();
  }

  write(): void {
    this.#stream.write(frame({}));
  }

  cancel(): void {
    this.#cancelled = true;
    this.#stream.close(http2.constants.NGHTTP2_CANCEL);
  }

  #read(): Promise<Status> {
    const stream = this.#stream;
    let status: Status | undefined;
    const told = (headers: http2.IncomingHttpHeaders) => {
      const { 'grpc-status': code, 'grpc-message': text = '' } = headers;
      if (code !== undefined) status = { code: Number(code), details: String(text) };
    };
    stream.on('response', (headers) => {
      told(headers);
      if (status === undefined) this.headers.add();
    });
    stream.on('trailers', told);
    let buffered = Buffer.alloc(0);
    stream.on('data', (chunk: Buffer) => {
      buffered = Buffer.concat([buffered, chunk]);
      while (buffered.length >= 5 && buffered.length >= 5 + buffered.readUInt32BE(1)) {
        buffered = buffered.subarray(5 + buffered.readUInt32BE(1));
        this.messages.add();
      }
    });
    stream.on('error', () => {});
    // The client has not ended its side in a call that streams requests.
    stream.on('end', () => stream.close());
    return new Promise((resolve) => {
      stream.on('close', () => {
        const code = this.#cancelled ? grpc.status.CANCELLED : grpc.status.UNAVAILABLE;
        resolve(status ?? { code, details: `RST_STREAM ${stream.rstCode}` });
      });
    });
  }
}

/** A gRPC message: the flag "not compressed", the length, and the bytes. */
function frame(message: Message): Buffer {
  const bytes = testService.unary.requestSerialize(message);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}
