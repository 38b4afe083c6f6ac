import { constants } from 'node:fs';
import { openFile } from '../descriptor/open-file.js';
import { ReceivedFile } from '../descriptor/received-file.js';
import { GrpcFdError } from '../errors.js';
import type { InboxStats } from '../inbox/inbox.js';
import type { InodeName } from '../inbox/names.js';
import type { ReceiveOptions } from '../inbox/pending-receive.js';
import { O_PATH } from '../native/binding.js';
import { CountedFd, duplicateToSend } from './counted-fd.js';
import { type DescriptorSource, parseSource, type Reference } from './reference.js';
import { Outcome, Sent, type SentFd } from './send-outcome.js';

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
   * Waits for a descriptor, which is then the caller's, to close. By `ref` the very descriptor that came is handed over, once: a
   * second receive fails with `ERR_GRPCFD_ALREADY_RECEIVED`, unless this one has `{ keep: true }` and takes a duplicate. By URL it is
   * always a duplicate. Rejects with a GrpcFdError when it can never come.
   */
  recvFd(source: DescriptorSource, options?: ReceiveOptions): Promise<number>;
  /** {@link recvFd}, as a {@link ReceivedFile} that owns the descriptor. */
  recvFile(source: DescriptorSource, options?: ReceiveOptions): Promise<ReceivedFile>;
  /**
   * Sends several, and gives the fields of a message that name them: `{ path, ...fds.refs({ input, output }) }`. Owner and errors as
   * with {@link sendFd}; where one cannot be sent, those before it go all the same, and nobody asks for them.
   */
  refs<Files extends SendableFiles<Files>>(files: Files): NamesOf<Files>;
  /** {@link refs} with URLs, for a peer that is the Go package. */
  urls<Files extends SendableFiles<Files>>(files: Files): NamesOf<Files>;
  /**
   * Receives what the named fields of a message name. All or nothing: every `ref` is looked at before any descriptor is handed over,
   * the first failure ends the other waits, and what had come by then is closed. A name that stands in two fields gives a
   * duplicate to the first. `await using` closes them all, and each can be closed or released by itself.
   */
  recvFiles<Field extends string>(
    message: Readonly<Record<Field, DescriptorSource>>,
    fields: readonly Field[],
    options?: ReceiveOptions,
  ): Promise<ReceivedFiles<Field>>;
  /**
   * Receives from another transceiver and sends on, in one step: for a handler that passes a descriptor to its own backend. With
   * `{ keep: true }` it can be received again, for a second backend.
   */
  forward(from: FdTransceiver, source: DescriptorSource, options?: ReceiveOptions): Promise<SentFd>;
}

/** What can be sent: the number of a descriptor, or what has one as its `fd`. It stays the caller's. */
export type Sendable = number | { readonly fd: number };

/** An object whose every field can be sent. */
export type SendableFiles<Files> = { readonly [Field in keyof Files & string]: Sendable };

/** The same fields, with the names to put in a message. */
export type NamesOf<Files> = { [Field in keyof Files & string]: string };

/** A file for each field of a message, the caller's to close. */
export type ReceivedFiles<Field extends string> = Record<Field, ReceivedFile> & AsyncDisposable;

/** The transceiver of a call, in its handler. */
export interface FdServerCall extends FdTransceiver {
  /**
   * What the client attached to the call, in its order, each the caller's to close; none from a peer that is not this package. Ends
   * the iteration with an error where one of them did not arrive.
   */
  received(): AsyncIterableIterator<ReceivedFile>;
}

/** Counters of a connection. */
export interface FdConnectionStats extends InboxStats {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly sentFds: number;
  /** Queued for the next write. */
  readonly pendingFds: number;
}

/** One connection that carries descriptors. */
export interface FdConnection extends FdTransceiver {
  /** Unique to the connection, on this machine and on any other. */
  readonly id: string;
  readonly role: 'client' | 'server';
  /** The process at the other end, as it was when it connected (SO_PEERCRED). */
  readonly peer: { readonly pid: number; readonly uid: number; readonly gid: number };
  /** Resolves when the connection has closed; never rejects. */
  readonly closed: Promise<void>;
  stats(): FdConnectionStats;
}

/** What all transceivers share: how descriptors are opened, duplicated and named. */
export abstract class Transceiver implements FdTransceiver {
  /** Takes over the reference to `descriptor`, also if it throws. */
  protected abstract send(descriptor: CountedFd): SentFd;
  /** A duplicate, the caller's own: at once where it is here. A promise that rejects unread must not end the process. */
  protected abstract receive(
    name: InodeName | Reference,
    options: ReceiveOptions | undefined,
  ): number | Promise<number>;
  /** Throws what a receive by that reference would fail with. Receives nothing. */
  protected abstract check(reference: Reference): void;

  sendFd(fd: number): SentFd {
    return this.send(duplicateToSend(fd));
  }

  sendFile(file: { readonly fd: number }): SentFd {
    return this.sendFd(file.fd);
  }

  sendFilename(path: string, options: SendFilenameOptions = {}): SentFd {
    return this.send(new CountedFd(openFile(path, openFlags(options.flags))));
  }

  recvFd(source: DescriptorSource, options?: ReceiveOptions): Promise<number> {
    return this.#receive(source, options, (fd) => fd);
  }

  recvFile(source: DescriptorSource, options?: ReceiveOptions): Promise<ReceivedFile> {
    return this.#receive(source, options, (fd) => new ReceivedFile(fd));
  }

  refs<Files extends SendableFiles<Files>>(files: Files): NamesOf<Files> {
    return mapValues(files, (file) => this.#sendAny(file).ref);
  }

  urls<Files extends SendableFiles<Files>>(files: Files): NamesOf<Files> {
    return mapValues(files, (file) => this.#sendAny(file).url);
  }

  recvFiles<Field extends string>(
    message: Readonly<Record<Field, DescriptorSource>>,
    fields: readonly Field[],
    options?: ReceiveOptions,
  ): Promise<ReceivedFiles<Field>> {
    return quiet(this.#receiveAll(message, fields, options));
  }

  async forward(from: FdTransceiver, source: DescriptorSource, options?: ReceiveOptions): Promise<SentFd> {
    await using file = await from.recvFile(source, options);
    return this.sendFile(file);
  }

  #sendAny(file: Sendable): SentFd {
    return typeof file === 'number' ? this.sendFd(file) : this.sendFile(file);
  }

  async #receiveAll<Field extends string>(
    message: Readonly<Record<Field, DescriptorSource>>,
    fields: readonly Field[],
    options: ReceiveOptions = {},
  ): Promise<ReceivedFiles<Field>> {
    const sources = new Map(fields.map((field) => [field, parseSource(message[field])]));
    // Before any is handed over: what one name costs, the others must not.
    for (const source of sources.values()) if (source.kind === 'reference') this.check(source);
    const files = new Map<Field, ReceivedFile>();
    const closeAll = async () => {
      await Promise.all([...files.values()].map((file) => file.close()));
    };
    const others = new AbortController();
    const { signal = others.signal } = options;
    const abortOthers = () => others.abort(signal.reason);
    signal.addEventListener('abort', abortOthers);
    const receiveOne = async (field: Field) => {
      const isLast = [...sources.keys()].findLast((each) => message[each] === message[field]) === field;
      const own = { ...options, signal: others.signal, keep: options.keep === true || !isLast };
      const file = await this.recvFile(message[field], own);
      files.set(field, file);
    };
    const receives = [...sources.keys()].map(receiveOne);
    try {
      if (signal.aborted) abortOthers();
      await Promise.all(receives);
    } catch (error) {
      others.abort();
      await Promise.allSettled(receives);
      await closeAll();
      throw error;
    } finally {
      signal.removeEventListener('abort', abortOthers);
    }
    // A field may have any name, `__proto__` too.
    const named = Object.create(Object.prototype, Object.fromEntries([...files].map(propertyOf)));
    // Not enumerable: the fields are what it has.
    Object.defineProperty(named, Symbol.asyncDispose, { value: closeAll });
    return named as ReceivedFiles<Field>;
  }

  /** Mostly the descriptor is here: then there is one promise, and it is settled. */
  #receive<Result>(
    source: DescriptorSource,
    options: ReceiveOptions | undefined,
    resultOf: (fd: number) => Result,
  ): Promise<Result> {
    try {
      const received = this.receive(parseSource(source), options);
      return typeof received === 'number'
        ? Promise.resolve(resultOf(received))
        : quiet(received.then(resultOf));
    } catch (error) {
      return quiet(Promise.reject(error));
    }
  }
}

function propertyOf<Value>([name, value]: [string, Value]): [string, PropertyDescriptor] {
  return [name, { value, enumerable: true, writable: true, configurable: true }];
}

/** A peer that hangs up must not end the process because a receive that it rejects has not been awaited yet. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

function mapValues<Files extends SendableFiles<Files>>(
  files: Files,
  nameOf: (file: Sendable) => string,
): NamesOf<Files> {
  const entries = Object.entries<Sendable>(files).map(([field, file]) => [field, nameOf(file)]);
  return Object.fromEntries(entries) as NamesOf<Files>;
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

/** For calls on connections that cannot carry descriptors: the call goes on, what is sent or received fails. */
export class UnsupportedTransceiver extends Transceiver implements FdServerCall {
  readonly #error: () => GrpcFdError;

  constructor(error: () => GrpcFdError) {
    super();
    this.#error = error;
  }

  protected send(descriptor: CountedFd): SentFd {
    const outcome = new Outcome();
    outcome.settle(this.#error());
    descriptor.release();
    return new Sent(descriptor.url, descriptor.url, outcome);
  }

  protected receive(): never {
    throw this.#error();
  }

  protected check(): never {
    throw this.#error();
  }

  /** Nothing came, and nothing was expected to. */
  async *received(): AsyncIterableIterator<ReceivedFile> {}
}

export function noDescriptorSupport(): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT',
    'this call does not run over a connection that carries file descriptors: that takes a unix or unix-abstract target, ' +
      'grpcfd.channelCredentials() at the client, and grpcfd.serverCredentials() at the server',
  );
}
