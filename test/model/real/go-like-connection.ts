/**
 * One end of a connection that treats descriptors as the Go package does: it knows names by inode only, and has the newest descriptor of
 * each inode. It ignores the metadata of this package. Nothing of the inbox is in it.
 */
import type { Socket } from 'node:net';
import { fdToUrl } from 'grpcfd';
import { bridgedConnection } from '#src/grpc/internals/bridged-socket.js';
import { native } from '#src/native/binding.js';
import type { ServerTransceiver } from './server-side.js';

const connections = new WeakMap<Socket, GoLikeConnection>();

export class GoLikeConnection implements ServerTransceiver {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  readonly #stream: ReturnType<typeof bridgedConnection>['stream'];
  readonly #newest = new Map<string, number>();

  /** Takes over `fd`, a connected socket. */
  constructor(fd: number) {
    let onClosed = () => {};
    this.closed = new Promise((resolve) => {
      onClosed = resolve;
    });
    const { socket, stream } = bridgedConnection(fd, false, {
      onDescriptors: (fds) => {
        for (const each of fds) this.#arrived(each);
      },
      onClosed: () => {
        native.closeAll([...this.#newest.values()]);
        this.#newest.clear();
        onClosed();
      },
    });
    this.socket = socket;
    this.#stream = stream;
    connections.set(socket, this);
  }

  static of(socket: Socket | undefined): GoLikeConnection {
    const connection = socket === undefined ? undefined : connections.get(socket);
    if (connection === undefined) throw new Error('this is the socket of another connection');
    return connection;
  }

  sendFd(fd: number) {
    const url = fdToUrl(fd);
    const own = native.duplicate(fd);
    const sent = new Promise<void>((resolve, reject) => {
      this.#stream.queueDescriptor({
        fd: own,
        settle: (error) => {
          native.close(own);
          if (error === null) resolve();
          else reject(failure('SEND_FAILED', error.message));
        },
      });
    });
    sent.catch(() => {});
    return { url, ref: url, sent };
  }

  async recvFd(url: unknown): Promise<number> {
    const fd = this.#newest.get(String(url));
    if (fd === undefined) throw failure('NOT_FOUND', 'it has not come');
    const own = native.duplicate(fd);
    native.unguard(own);
    return own;
  }

  #arrived(fd: number): void {
    const url = fdToUrl(fd);
    const older = this.#newest.get(url);
    if (older !== undefined) native.close(older);
    this.#newest.set(url, fd);
  }
}

function failure(reason: string, details: string): Error {
  return Object.assign(new Error(details), { reason: `ERR_GRPCFD_${reason}`, details });
}
