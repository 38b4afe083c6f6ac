import { constants } from 'node:fs';
import { urlToDevIno } from '../descriptor/inode-url.js';
import { openFile } from '../descriptor/open-file.js';
import { ReceivedFile } from '../descriptor/received-file.js';
import { GrpcFdError } from '../errors.js';
import type { ExchangeStats } from '../exchange/exchange.js';
import type { InodeName } from '../exchange/names.js';
import type { ReceiveOptions } from '../exchange/pending-receive.js';
import { O_PATH } from '../native/binding.js';
import { duplicateToSend, SharedDescriptor } from './shared-descriptor.js';

/** What names a descriptor to receive: an `inode://` URL, a `ref`, or the two numbers of its inode. */
export type DescriptorSource = string | URL | { readonly dev: bigint; readonly ino: bigint };

/** A descriptor that has been given away to be sent. What the caller sent stays the caller's, who may close it at once. */
export interface SentFd {
  /** `inode://<dev>/<ino>`: the name to put in the message for any peer. */
  readonly url: string;
  /**
   * The exact name to put in the message when this package is at both ends: it never is another file, even where files
   * share an inode. Where the peer is known not to understand it, the same as `url`.
   */
  readonly ref: string;
  /**
   * Settles when the kernel took the descriptor, or with the reason why it never will. An unread rejection never ends the
   * process.
   */
  readonly sent: Promise<void>;
}

/** How `sendFilename` opens. */
export interface SendFilenameOptions {
  /**
   * open(2) flags, as a number of `fs.constants` or one of Node's 'r', 'r+', 'w', 'w+', 'a', 'a+'. Default `O_PATH`: sockets,
   * namespaces and files without read permission can be sent, and the receiver cannot read through the descriptor itself,
   * only open it again at /proc/self/fd/N.
   */
  readonly flags?: number | string | undefined;
}

/** Sends and receives descriptors: on a connection, for a call in its handler, or for the calls of a client's credentials. */
export interface FdTransceiver {
  /**
   * Sends a duplicate of `fd`, made before this returns; `fd` stays the caller's.
   *
   * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`, `ERR_GRPCFD_SEND_FAILED` (EBADF, EMFILE …), `ERR_GRPCFD_CLOSED`
   */
  sendFd(fd: number): SentFd;
  /** {@link sendFd} for what has an `fd`, like an fs.promises FileHandle. */
  sendFile(file: { readonly fd: number }): SentFd;
  /**
   * Opens `path` and sends it. Links are followed, those of /proc too. It is opened before this returns, on this thread: a
   * path under /proc/thread-self means the caller's.
   *
   * @throws GrpcFdError `ERR_GRPCFD_OPEN_FAILED` at once when it cannot be opened
   */
  sendFilename(path: string, options?: SendFilenameOptions): SentFd;
  /**
   * Waits for a descriptor. It resolves to a duplicate that is the caller's, to close; it can be received again.
   * Rejects with a GrpcFdError when it can never come.
   */
  recvFd(source: DescriptorSource, options?: ReceiveOptions): Promise<number>;
  /** {@link recvFd}, as a {@link ReceivedFile} that owns the descriptor. */
  recvFile(source: DescriptorSource, options?: ReceiveOptions): Promise<ReceivedFile>;
}

/** Counters of a connection. */
export interface FdConnectionStats extends ExchangeStats {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly sentFds: number;
  /** Queued for the next write. */
  readonly pendingFds: number;
}

/** One connection that carries descriptors. */
export interface FdConnection extends FdTransceiver {
  /** Random, and unique to the connection. */
  readonly id: string;
  readonly role: 'client' | 'server';
  /** The process at the other end, as it was when it connected (SO_PEERCRED). */
  readonly peer: { readonly pid: number; readonly uid: number; readonly gid: number };
  /** Resolves when the connection has closed; never rejects. */
  readonly closed: Promise<void>;
  stats(): FdConnectionStats;
}

/** The exact name of a descriptor, as it stands in a message: `fd:<id>:<number>`. */
export interface Reference {
  readonly kind: 'reference';
  /** Of credentials, for what was attached before a call started; of a connection, for all else. */
  readonly id: string;
  /** The index among what was attached, from 0; or the place among all that were sent on the connection, from 1. */
  readonly number: number;
}

const REFERENCE = /^fd:([A-Za-z0-9_-]{1,64}):(\d{1,15})$/;

export function formatReference(id: string, number: number): string {
  return `fd:${id}:${number}`;
}

/** @throws GrpcFdError `ERR_GRPCFD_INVALID_URL`, `ERR_GRPCFD_INVALID_REFERENCE`, `ERR_GRPCFD_INVALID_ARGUMENT` */
export function parseSource(source: DescriptorSource): InodeName | Reference {
  if (typeof source === 'string' && source.startsWith('fd:')) {
    const match = REFERENCE.exec(source);
    if (match?.[1] === undefined || match[2] === undefined) {
      throw new GrpcFdError(
        'ERR_GRPCFD_INVALID_REFERENCE',
        `${JSON.stringify(source)} is not a reference fd:<id>:<number>`,
      );
    }
    return { kind: 'reference', id: match[1], number: Number(match[2]) };
  }
  if (typeof source === 'string' || source instanceof URL) return { kind: 'inode', ...urlToDevIno(source) };
  if (typeof source?.dev === 'bigint' && typeof source.ino === 'bigint') {
    return { kind: 'inode', dev: source.dev, ino: source.ino };
  }
  throw new GrpcFdError(
    'ERR_GRPCFD_INVALID_ARGUMENT',
    'a descriptor is received by an inode:// URL, a ref, or { dev, ino } as bigints',
  );
}

/** What all transceivers share: how descriptors are opened, duplicated and named. */
export abstract class Transceiver implements FdTransceiver {
  /** Takes over the reference to `descriptor`, also if it throws. */
  protected abstract send(descriptor: SharedDescriptor): SentFd;
  protected abstract receive(
    name: InodeName | Reference,
    options: ReceiveOptions | undefined,
  ): Promise<number>;

  sendFd(fd: number): SentFd {
    return this.send(duplicateToSend(fd));
  }

  sendFile(file: { readonly fd: number }): SentFd {
    return this.sendFd(file.fd);
  }

  sendFilename(path: string, options: SendFilenameOptions = {}): SentFd {
    return this.send(new SharedDescriptor(openFile(path, openFlags(options.flags))));
  }

  recvFd(source: DescriptorSource, options?: ReceiveOptions): Promise<number> {
    return quiet(this.#receive(source, options));
  }

  recvFile(source: DescriptorSource, options?: ReceiveOptions): Promise<ReceivedFile> {
    return quiet(this.#receive(source, options).then((fd) => new ReceivedFile(fd)));
  }

  async #receive(source: DescriptorSource, options: ReceiveOptions | undefined): Promise<number> {
    return this.receive(parseSource(source), options);
  }
}

/** A peer that hangs up must not end the process because a receive that it rejects has not been awaited yet. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

const FLAGS: Readonly<Record<string, number>> = {
  r: constants.O_RDONLY,
  'r+': constants.O_RDWR,
  w: constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC,
  'w+': constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC,
  a: constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND,
  'a+': constants.O_RDWR | constants.O_CREAT | constants.O_APPEND,
};

function openFlags(flags: number | string | undefined): number {
  if (flags === undefined) return O_PATH;
  const value = typeof flags === 'string' ? FLAGS[flags] : flags;
  if (value !== undefined && Number.isInteger(value)) return value;
  throw new GrpcFdError(
    'ERR_GRPCFD_INVALID_ARGUMENT',
    `flags must be a number or one of ${Object.keys(FLAGS).join(', ')}`,
  );
}

/** Is told what became of a descriptor on one connection: null when the kernel took it. */
export interface OutcomeSink {
  settle(error: Error | null): void;
}

/** How a {@link SentFd} learns what became of its descriptor. The first outcome counts. */
export class Outcome implements OutcomeSink {
  #result: Error | null | undefined;
  #promise: Promise<void> | undefined;
  #resolve: (() => void) | undefined;
  #reject: ((error: Error) => void) | undefined;

  get promise(): Promise<void> {
    if (this.#promise === undefined) {
      this.#promise = new Promise((resolve, reject) => {
        this.#resolve = resolve;
        this.#reject = reject;
      });
      this.#promise.catch(() => {});
      this.#tell();
    }
    return this.#promise;
  }

  settle(error: Error | null): void {
    if (this.#result !== undefined) return;
    this.#result = error;
    this.#tell();
  }

  #tell(): void {
    if (this.#result === null) this.#resolve?.();
    else if (this.#result !== undefined) this.#reject?.(this.#result);
  }
}

/** A {@link SentFd} whose promise is only made when it is asked for. */
export class Sent implements SentFd {
  readonly url: string;
  readonly ref: string;
  readonly #outcome: Outcome;

  constructor(url: string, ref: string, outcome: Outcome) {
    this.url = url;
    this.ref = ref;
    this.#outcome = outcome;
  }

  get sent(): Promise<void> {
    return this.#outcome.promise;
  }
}

/** For calls on connections that cannot carry descriptors: the call goes on, what is sent or received fails. */
export class UnsupportedTransceiver extends Transceiver {
  readonly #error: () => GrpcFdError;

  constructor(error: () => GrpcFdError) {
    super();
    this.#error = error;
  }

  protected send(descriptor: SharedDescriptor): SentFd {
    const outcome = new Outcome();
    outcome.settle(this.#error());
    descriptor.release();
    return new Sent(descriptor.url, descriptor.url, outcome);
  }

  protected receive(): Promise<number> {
    return Promise.reject(this.#error());
  }
}

export function noDescriptorSupport(): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT',
    'this call does not run over a connection that carries file descriptors: that takes a unix or unix-abstract target, ' +
      'grpcfd.channelCredentials() at the client, and grpcfd.serverCredentials() at the server',
  );
}
