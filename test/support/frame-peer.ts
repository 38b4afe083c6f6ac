/** A client or a server that speaks HTTP/2 frame by frame. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { FdSocket } from 'grpcfd/socket';
import { native } from '#src/native/binding.js';
import { certificates } from './certificates.js';
import { defer } from './fd-table.js';
import { FRAME, type Frame, FrameReader, frame, PREFACE, settings } from './http2-frames.js';
import { freshAddress, type Security } from './service.js';

/** One end of a connection. It goes with the test. */
export class FramePeer {
  /** All that came. */
  readonly frames: Frame[] = [];
  /** Called for each frame, once it is in {@link frames}. */
  onFrame: ((frame: Frame) => void) | undefined;
  readonly #stream: Duplex;
  #changed: () => void = () => {};
  #ended = false;

  constructor(stream: Duplex, reader: FrameReader) {
    this.#stream = stream;
    stream.on('error', () => {});
    stream.on('end', () => stream.end());
    stream.on('close', () => {
      this.#ended = true;
      this.#changed();
    });
    stream.on('data', (chunk: Buffer) => {
      for (const received of reader.push(chunk)) {
        this.frames.push(received);
        this.onFrame?.(received);
      }
      this.#changed();
    });
    defer(() => stream.destroy());
  }

  /** Whether the connection has closed. */
  get ended(): boolean {
    return this.#ended;
  }

  /** In one write. */
  write(...frames: Uint8Array[]): void {
    this.#stream.write(Buffer.concat(frames));
  }

  end(): void {
    this.#stream.end();
  }

  /** As when its process is killed. */
  destroy(): void {
    this.#stream.destroy();
  }

  /** Reads nothing any more. */
  pause(): void {
    this.#stream.pause();
  }

  /** Resolves when the condition holds, and rejects if the connection closes before. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.#ended) throw new Error('the connection has closed');
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  async closed(): Promise<void> {
    if (!this.#ended) await once(this.#stream, 'close');
  }

  resume(): void {
    this.#stream.resume();
  }

  of(type: number, streamId?: number): Frame[] {
    return this.frames.filter((each) => each.type === type && (streamId ?? each.streamId) === each.streamId);
  }

  /** The first frame of that type, as soon as it is here. */
  async first(type: number, streamId?: number): Promise<Frame> {
    await this.until(() => this.of(type, streamId).length > 0);
    return this.of(type, streamId)[0] as Frame;
  }
}

/** A client, and the socket below it. */
export class FrameClient extends FramePeer {
  readonly socket: FdSocket;
  /** The number of its own end of the connection. */
  readonly fd: number;

  private constructor(socket: FdSocket, fd: number, stream: Duplex) {
    super(stream, new FrameReader());
    this.socket = socket;
    this.fd = fd;
    this.write(PREFACE, settings());
  }

  static async connect(address: string, security: Security = 'plaintext'): Promise<FrameClient> {
    const fd = native.connectUnix(Buffer.from(address.slice('unix:'.length)));
    const socket = new FdSocket({ fd });
    defer(() => socket.destroy());
    if (security === 'plaintext') return new FrameClient(socket, fd, socket);
    const tls = connectTls({ socket, ALPNProtocols: ['h2'], rejectUnauthorized: false });
    await once(tls, 'secureConnect');
    return new FrameClient(socket, fd, tls);
  }

  /** Descriptors ahead of what is written next, 250 to a message at the most. They stay the caller's. */
  sendFds(fds: readonly number[]): void {
    void this.socket.sendFds(fds);
    this.write(frame(FRAME.UNKNOWN));
  }
}

/** A server that does nothing but what `onConnection` has it do. */
export async function serveFrames(
  security: Security,
  onConnection: (peer: FramePeer) => void,
): Promise<string> {
  const address = freshAddress();
  const accept = (stream: Duplex) => onConnection(new FramePeer(stream, new FrameReader(PREFACE.length)));
  const server: Server =
    security === 'plaintext'
      ? createServer(accept)
      : createTlsServer({ ...(await certificates()).server, ALPNProtocols: ['h2'] }, accept);
  server.listen(address.slice('unix:'.length));
  await once(server, 'listening');
  defer(() => server.close());
  return address;
}
