/** A connection under a net.Socket: Node's own, or one that carries descriptors. What holds for the one is to hold for the other. */
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { bridgedConnection } from '#src/grpc/internals/bridged-socket.js';
import { closeAll, native, SocketHandle } from '#src/native/binding.js';
import type { SocketHandle as Handle } from '#src/native/bridge-types.js';
import { arrivals } from '#src/socket/arrivals.js';
import type { BridgedStream } from '#src/socket/bridged-stream.js';
import { defer } from './fd-table.js';

export const KINDS = ['stock', 'bridged'] as const;
export type Kind = (typeof KINDS)[number];

export interface SocketOptions {
  readonly allowHalfOpen?: boolean;
  /** Owns the descriptors. */
  readonly onDescriptors?: (fds: number[], truncated: boolean) => void;
  readonly onStalled?: () => void;
}

/** Takes `fd` over. The socket goes with the test. */
export function netSocket(kind: Kind, fd: number, options: SocketOptions = {}): Socket {
  return kind === 'bridged' ? bridged(fd, options).socket : stock(fd, options);
}

function stock(fd: number, { allowHalfOpen = false }: SocketOptions): Socket {
  native.unguard(fd);
  const socket = new Socket({ fd, allowHalfOpen, readable: true, writable: true });
  defer(() => socket.destroy());
  return socket;
}

export interface Bridged {
  readonly socket: Socket;
  readonly stream: BridgedStream;
  /** Whether the stream was still open when it said that it closes; one for each time. */
  readonly closed: boolean[];
}

/** The `remoteAddress` of the sockets here. */
export const BRIDGED_PEER_NAME = 'unix:pid=1,uid=2,gid=3';

export function bridged(fd: number, options: SocketOptions = {}): Bridged {
  const { allowHalfOpen = false, onDescriptors = closeAll, onStalled = () => {} } = options;
  const closed: boolean[] = [];
  const listener = { onDescriptors, onStalled, onClosed: () => void closed.push(stream.isOpen) };
  const { socket, stream } = bridgedConnection(fd, allowHalfOpen, listener, BRIDGED_PEER_NAME);
  defer(() => socket.destroy());
  return { socket, stream, closed };
}

/** A socket, and its peer by hand. */
export function socketAndPeer(kind: Kind, options?: SocketOptions): [Socket, RawPeer] {
  const [a, b] = native.socketPair();
  return [netSocket(kind, a, options), new RawPeer(b)];
}

interface PipeHandle {
  close(callback?: () => void): void;
  readStart(): number;
  readStop(): number;
}

/** Node's handle below a socket. */
export function handleOf(socket: Socket): PipeHandle {
  return Reflect.get(socket, '_handle') as PipeHandle;
}

/** A connected socket that is read and written by hand, and goes with the test. */
export class RawPeer {
  readonly #handle: Handle;
  #closed = false;

  constructor(fd: number) {
    this.#handle = new SocketHandle(fd, () => {});
    defer(() => this.close());
  }

  /** What the kernel took, or a negative errno. */
  send(data: string | Uint8Array, fds: readonly number[] = []): number {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    return this.#handle.send([bytes], bytes.length, Int32Array.from(fds), fds.length);
  }

  /** One message: what came, or undefined at the end, or a negative errno. */
  receive(size = 65_536): { bytes: Buffer; fds: number[] } | number | undefined {
    const buffer = Buffer.alloc(size);
    const count = this.#handle.receive(buffer, 0, arrivals.memory);
    const fds = arrivals.take();
    if (count < 0) return count;
    return count === 0 ? undefined : { bytes: buffer.subarray(0, count), fds };
  }

  /** What comes until the end of the stream. The descriptors are closed. */
  async receiveAll(pause: () => Promise<unknown> = turn): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for (;;) {
      const received = this.receive();
      if (received === undefined) return Buffer.concat(chunks);
      if (typeof received === 'number') {
        if (received !== -11) throw native.systemError(-received, 'recvmsg');
        await pause();
        continue;
      }
      chunks.push(received.bytes);
      closeAll(received.fds);
    }
  }

  shutdown(): void {
    this.#handle.shutdown();
  }

  close(): void {
    // Not by the addon, whose threads would do it some time later.
    if (!this.#closed) closeSync(this.#handle.release());
    this.#closed = true;
  }
}

/** One turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** So many turns that what is ready by now has been seen. */
export async function turns(count = 10): Promise<void> {
  for (let index = 0; index < count; index++) await turn();
}
