import {
  aFunction,
  anObject,
  check,
  checkGrpcOptions,
  grpcComplaint,
  type RulesFor,
  rule,
} from '../checks.js';
import { assertExpected, type Expectation } from '../descriptor/file-kind.js';
import { type FileLook, lookAt } from '../descriptor/file-look.js';
import { openWithoutWaiting } from '../descriptor/open-file.js';
import { openFlags, toOpenFlags } from '../descriptor/open-flags.js';
import { ReceivedFile } from '../descriptor/received-file.js';
import { GrpcFdError } from '../errors.js';
import type { InodeName } from '../inbox/names.js';
import { checkReceiveOptions, type ReceiveOptions } from '../inbox/pending-receive.js';
import { native, O_PATH } from '../native/binding.js';
import { CountedFd, duplicateToSend } from './counted-fd.js';
import type { Peer } from './peer.js';
import { closeAll, type FileReceiver, receiveAll } from './receive-all.js';
import {
  checkExpectations,
  type ReceiveFileOptions,
  type ReceiveFilesOptions,
  splitOptions,
} from './receive-options.js';
import { type DescriptorSource, formatReference, parseSource, type Reference } from './reference.js';
import { Outcome, Sent, type SentFd } from './send-outcome.js';
import { lend, type Sendable, type SendableObject } from './sendable.js';

/** Options of {@link FdTransceiver.sendFilename}. */
export interface SendFilenameOptions {
  /**
   * Flags of open(2): a number made of `fs.constants`, or one of Node's 'r', 'r+', 'w', 'w+', 'a', 'a+'. Default `O_PATH`. With it,
   * sockets, namespaces and files without read permission can be sent. The receiver cannot read through such a descriptor, but can
   * open it again with `reopen()`, if it has the permission.
   */
  readonly flags?: number | string | undefined;
}

/**
 * Sends and receives descriptors: for a call in its handler, for the calls of a client's credentials, or on a connection.
 *
 * A descriptor that is sent stays the caller's: a duplicate is made before the method returns. A receive gives a duplicate, which belongs
 * to the caller, who closes it. A promise of a receive that rejects without a handler does not end the process.
 */
export interface FdTransceiver {
  /**
   * Sends a duplicate of the descriptor `fd`, which stays the caller's.
   *
   * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`, `ERR_GRPCFD_SEND_FAILED` (EBADF, EMFILE), `ERR_GRPCFD_CLOSED`,
   * `ERR_GRPCFD_TOO_MANY_DESCRIPTORS`
   */
  sendFd(fd: number): SentFd;
  /**
   * {@link sendFd} for an object that has a descriptor: see {@link SendableObject}. The object stays the caller's, who may close it when this
   * returns.
   *
   * - A connection (`net.Socket`, `FdSocket`, `child.stdout`) is read by its receiver from then on. It is paused here, and reading has stopped
   *   below it. It is refused if bytes of it were read already, or wait to be written. Close it with `destroy()`: `end()` would end it for
   *   the receiver, too. If the receiver did not get it, `resume()` goes on here.
   * - A server accepts connections in both processes until it is closed in one of them. `close()` of it leaves the file of a unix socket if
   *   another process has the socket then. So does `close()` of an `FdListener`.
   * - A `dgram.Socket` gives each datagram to one of the two processes, until it is closed in one of them.
   *
   * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` for what has no descriptor (a `TLSSocket`, what is destroyed or not connected yet, the
   * server of a worker of node:cluster that its primary process listens for) or would lose bytes. The text says why. The errors of
   * {@link sendFd}
   */
  sendFile(file: SendableObject): SentFd;
  /**
   * Opens the file at `path` and sends it. Links are followed, those of /proc too. The file is opened before this returns, in the thread
   * of the caller, to which /proc/thread-self refers then. Nothing stays open that the caller would have to close. It does not wait for a
   * FIFO: one that has no writer yet is opened for reading, and its receiver waits; one that has no reader cannot be opened for writing
   * (ENXIO). For a path that may lie on FUSE, NFS or autofs, use `openFile()` and {@link sendFile}.
   *
   * @throws GrpcFdError `ERR_GRPCFD_OPEN_FAILED`, `ERR_GRPCFD_INVALID_ARGUMENT`; the errors of {@link sendFd}
   */
  sendFilename(path: string, options?: SendFilenameOptions): SentFd;
  /**
   * Receives a descriptor, and waits for it if it is named by its inode. The promise resolves to the number of a descriptor that belongs
   * to the caller, who closes it. By `ref` the descriptor that came is handed over, once: a second receive of it fails. With
   * `{ keep: true }`, and always by URL, the caller gets a duplicate, and the descriptor can be received again.
   *
   * It rejects with a GrpcFdError when the descriptor can never come: `ERR_GRPCFD_ALREADY_RECEIVED`, `ERR_GRPCFD_CALL_ENDED`,
   * `ERR_GRPCFD_CLOSED`, `ERR_GRPCFD_HOLD_EXPIRED`, `ERR_GRPCFD_CONNECTION_CLOSED`, `ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT`,
   * `ERR_GRPCFD_DESCRIPTORS_LOST`, `ERR_GRPCFD_NOT_FOUND`, `ERR_GRPCFD_TOO_MANY_DESCRIPTORS`, `ERR_GRPCFD_WRONG_CONNECTION`,
   * `ERR_GRPCFD_REFERENCE_MISMATCH`; or when this receive fails: `ERR_GRPCFD_ABORTED`, `ERR_GRPCFD_TIMEOUT`,
   * `ERR_GRPCFD_TOO_MANY_RECEIVES`, `ERR_GRPCFD_RECEIVE_FAILED`, `ERR_GRPCFD_UNEXPECTED_KIND`, `ERR_GRPCFD_INVALID_URL`,
   * `ERR_GRPCFD_INVALID_REFERENCE`, `ERR_GRPCFD_INVALID_ARGUMENT`.
   */
  recvFd(source: DescriptorSource, options?: ReceiveFileOptions): Promise<number>;
  /**
   * {@link recvFd}, with a {@link ReceivedFile} that owns the descriptor. The caller closes the file. The file is looked at before it is
   * handed over. If the look fails with `ERR_GRPCFD_RECEIVE_FAILED`, a descriptor that was named by `ref` can still be received.
   */
  recvFile(source: DescriptorSource, options?: ReceiveFileOptions): Promise<ReceivedFile>;
  /**
   * Sends several descriptors, and returns the fields of a message that name them: `{ path, ...fds.refs({ input, output }) }`. The
   * files stay the caller's. Where one of them cannot be sent, this throws, but those before it are sent.
   *
   * @throws the errors of {@link sendFd}
   */
  refs<Files extends SendableFiles<Files>>(files: Files): NamesOf<Files>;
  /**
   * {@link refs} with URLs in place of references, for a peer that is the Go package.
   *
   * @throws the errors of {@link sendFd}
   */
  urls<Files extends SendableFiles<Files>>(files: Files): NamesOf<Files>;
  /**
   * Receives the descriptors that the given fields of a message name, all or none. Every `ref` is checked, every file is looked at and every
   * duplicate is made before any descriptor is handed over. If this fails, all of them can still be received. Later, a URL can fail, or
   * a file can be another one than `expect` asks for: the other waits end then, the descriptors that came are closed, and the promise rejects with the errors of {@link recvFd}. If two fields
   * have one name, the first gets a duplicate. The files belong to the caller. `await using` closes them all, and each of
   * them can be closed or released alone.
   */
  recvFiles<Field extends string>(
    message: Readonly<Record<Field, DescriptorSource>>,
    fields: readonly Field[],
    options?: ReceiveFilesOptions<Field>,
  ): Promise<ReceivedFiles<Field>>;
  /**
   * Receives a descriptor from another transceiver and sends it, in one step: for a handler that passes a descriptor on to a backend. With
   * `{ keep: true }` it can be received again, for a second backend, and so it can if it could not be sent. The caller has nothing to close. The promise rejects with the errors
   * of {@link recvFd} and {@link sendFd}.
   */
  forward(from: FdTransceiver, source: DescriptorSource, options?: ReceiveFileOptions): Promise<SentFd>;
}

/** An object of which each field can be sent. */
export type SendableFiles<Files> = { readonly [Field in keyof Files & string]: Sendable };

/** The same fields with the names to put into a message. */
export type NamesOf<Files> = { [Field in keyof Files & string]: string };

/** A file for each field of a message. They belong to the caller, who closes them. */
export type ReceivedFiles<Field extends string> = Record<Field, ReceivedFile> & AsyncDisposable;

/** The transceiver of a call, in its handler. */
export interface FdServerCall extends FdTransceiver {
  /**
   * The descriptors that the client attached to the call, in the order in which it did. Each file belongs to the caller, who closes it.
   * There are none from a client that is not this package. The iteration ends with an error of {@link FdTransceiver.recvFd} where one of
   * them did not arrive, or is not what `expect` asks for. It can be iterated again then, which goes on behind that one.
   */
  received(options?: Pick<ReceiveFileOptions, 'expect'>): AsyncIterableIterator<ReceivedFile>;
  /** The connection of the call: who is at its other end, and how to end it. Undefined if the connection carries no descriptors. */
  readonly connection: FdConnection | undefined;
}

/** Counters of a connection. Those without "now" count since the connection began. */
export interface FdConnectionStats {
  /** Bytes received. */
  readonly bytesRead: number;
  /** Bytes that the kernel took. */
  readonly bytesWritten: number;
  /** Descriptors received. */
  readonly receivedFds: number;
  /** Descriptors that the kernel took. */
  readonly sentFds: number;
  /** Descriptors that wait now for bytes to travel with. */
  readonly pendingFds: number;
  /** Descriptors held now, idle or claimed. */
  readonly heldFds: number;
  /** Descriptors held now and claimed by running calls. */
  readonly claimedFds: number;
  /** Receives that wait now. */
  readonly pendingReceives: number;
  /** Descriptors closed because more than `maxHeldFds` were idle. */
  readonly evictedFds: number;
  /** Descriptors closed because they were idle for `holdMs`. */
  readonly expiredFds: number;
  /** Descriptors closed because a newer one of the same inode came from a peer that names descriptors by URL alone. */
  readonly supersededFds: number;
  /** Descriptors closed because all connections held more than `maxHeldFdsTotal`, and the account of this one the most. */
  readonly evictedFdsTotal: number;
  /** Descriptors that receivers were given, duplicates included. */
  readonly takenFds: number;
  /** Descriptors closed that nobody had received, for any reason. */
  readonly closedFds: number;
  /** Descriptors that were closed as soon as they came (`acceptFds: false`), and those that the kernel refused to send. */
  readonly refusedFds: number;
  /** Calls that were refused, because of the descriptors that came with them (`methods`). */
  readonly refusedCalls: number;
  /** Receives that were refused (`maxPendingReceives`). */
  readonly refusedReceives: number;
  /** How often descriptors were lost. How many is not known. */
  readonly losses: number;
}

/**
 * One connection that carries descriptors, as `onConnection` gets it. It receives idle descriptors only, not those that a call claims.
 */
export interface FdConnection extends FdTransceiver {
  /** Unique to the connection, on this machine and on any other. */
  readonly id: string;
  /** Which end of the connection this process is. */
  readonly role: 'client' | 'server';
  /**
   * The process at the other end, at the time at which it connected or began to listen (SO_PEERCRED). At a client, that is the process which
   * called `listen()`: under socket activation it is the service manager, and not the server. Undefined at the end of a socketpair, whose
   * credentials are those of the process that made it: at a server, `serveConnection()` can be given the peer. Its groups and its label are
   * asked for when this is first read; they are left out if the connection has closed before.
   */
  readonly peer: Peer | undefined;
  /** Resolves when the connection has closed. It never rejects. */
  readonly closed: Promise<void>;
  /** The counters of the connection, as they are now. */
  stats(): FdConnectionStats;
  /**
   * Ends the connection at once, with its calls and with what it holds. At the other end it is as if this process had hung up. Calls of
   * this client fail with UNAVAILABLE and the text of `error`, and receives that wait with `ERR_GRPCFD_CONNECTION_CLOSED`, whose `cause` is
   * `error`. A channel connects anew for its next call. May be called at any time, in `onConnection` too, and again, which does nothing.
   *
   * @param error the reason. Default: none
   */
  close(error?: Error): void;
}

const aTransceiver = rule(
  'what fromCall(), handler() or callCredentials() gives, or an FdConnection',
  (value) => anObject.hasType(value) && aFunction.hasType((value as Partial<FdTransceiver>).recvFile),
);

const aListOfNames = rule(
  'an array of names of fields',
  (value) => Array.isArray(value) && value.every((name) => typeof name === 'string'),
);

/** The part that all transceivers share: how descriptors are opened, duplicated and named. */
export abstract class Transceiver implements FdTransceiver {
  /** What {@link #choose} has chosen. */
  #chosen: Map<string, Reference> | undefined;

  /** Takes over the caller's count of `descriptor`, also when it throws. */
  protected abstract send(descriptor: CountedFd): SentFd;
  /** A duplicate that is the caller's, without a promise where the descriptor is here. A rejection that nobody handles must not end the process. */
  protected abstract receive(
    name: InodeName | Reference,
    options: ReceiveOptions | undefined,
  ): number | Promise<number>;
  /**
   * Throws what a receive by that reference would fail with. Receives nothing. `look` is called with the descriptor, which stays where it
   * is, and may throw.
   */
  protected abstract check(reference: Reference, look?: (fd: number) => void): void;
  /**
   * Receives at once, or not at all: undefined where no file of that inode is here. The descriptor is the caller's; it is a duplicate with
   * `keep`, and for an inode.
   */
  protected abstract take(name: Reference, keep: boolean): number;
  protected abstract take(name: InodeName | Reference, keep: boolean): number | undefined;

  /** A file that was received is about to be handed over. */
  protected adopt(file: ReceivedFile): ReceivedFile {
    return file;
  }

  sendFd(fd: number): SentFd {
    return this.send(duplicateToSend(fd));
  }

  sendFile(file: SendableObject): SentFd {
    const { fd, onSent } = lend(file);
    const sent = this.sendFd(fd);
    onSent?.();
    return sent;
  }

  sendFilename(path: string, options: SendFilenameOptions = {}): SentFd {
    checkGrpcOptions(options, SEND_FILENAME_RULES);
    return this.send(new CountedFd(openWithoutWaiting(path, toOpenFlags(options.flags ?? O_PATH))));
  }

  recvFd(source: DescriptorSource, options?: ReceiveFileOptions): Promise<number> {
    return settled(() => {
      const { wait, expect } = splitOptions(options);
      if (expect === undefined) return this.#receive(this.#parse(source), wait, (fd) => fd);
      return this.#receiveLooked(source, wait, (fd, look) => new ReceivedFile(fd, expect, look).release());
    });
  }

  recvFile(source: DescriptorSource, options?: ReceiveFileOptions): Promise<ReceivedFile> {
    return settled(() => {
      const { wait, expect } = splitOptions(options);
      return this.#receiveLooked(source, wait, (fd, look) => this.adopt(new ReceivedFile(fd, expect, look)));
    });
  }

  refs<Files extends SendableFiles<Files>>(files: Files): NamesOf<Files> {
    check(grpcComplaint, 'files', files, anObject);
    return mapValues(files, (file) => this.#sendAny(file).ref);
  }

  urls<Files extends SendableFiles<Files>>(files: Files): NamesOf<Files> {
    check(grpcComplaint, 'files', files, anObject);
    return mapValues(files, (file) => this.#sendAny(file).url);
  }

  recvFiles<Field extends string>(
    message: Readonly<Record<Field, DescriptorSource>>,
    fields: readonly Field[],
    options?: ReceiveFilesOptions<Field>,
  ): Promise<ReceivedFiles<Field>> {
    return quiet(this.#receiveAll(message, fields, options));
  }

  async forward(
    from: FdTransceiver,
    source: DescriptorSource,
    options?: ReceiveFileOptions,
  ): Promise<SentFd> {
    check(grpcComplaint, 'from', from, aTransceiver);
    const { wait, expect } = splitOptions(options);
    if (wait !== undefined) checkReceiveOptions(wait);
    await using file = await from.recvFile(source, { ...wait, keep: true });
    const handOver = async () => {
      const isHandedOver = wait?.keep !== true && parseSource(source).kind === 'reference';
      if (isHandedOver) await from.recvFd(source).then(native.close, () => {});
    };
    try {
      assertExpected(file.url, file, expect);
    } catch (error) {
      await handOver();
      throw error;
    }
    const sent = this.send(new CountedFd(file.release()));
    // It is handed over when it has been sent on: what cannot be sent is not lost.
    await handOver();
    return sent;
  }

  #parse(source: DescriptorSource): InodeName | Reference {
    const name = parseSource(source);
    return name.kind === 'inode' || name.others === undefined ? name : this.#choose(name, name.others);
  }

  /**
   * Of a reference with several names, the one by which something can be received here. It is the same each time, since another one is for
   * another attempt of the call. If none can, one that is known here.
   */
  #choose(first: Reference, others: readonly Reference[]): Reference {
    const key = formatReference(first.id, first.number);
    const chosen = this.#chosen?.get(key);
    if (chosen !== undefined) return chosen;
    let known: Reference | undefined;
    for (const each of [first, ...others]) {
      const error = this.#checked(each);
      if (error === undefined) {
        this.#chosen ??= new Map();
        this.#chosen.set(key, each);
        return each;
      }
      if (error.reason !== 'ERR_GRPCFD_WRONG_CONNECTION') known ??= each;
    }
    return known ?? first;
  }

  #checked(reference: Reference): GrpcFdError | undefined {
    try {
      this.check(reference);
      return undefined;
    } catch (error) {
      return error as GrpcFdError;
    }
  }

  #sendAny(file: Sendable): SentFd {
    return typeof file === 'number' ? this.sendFd(file) : this.sendFile(file);
  }

  async #receiveAll<Field extends string>(
    message: Readonly<Record<Field, DescriptorSource>>,
    fields: readonly Field[],
    given: ReceiveFilesOptions<Field> = {},
  ): Promise<ReceivedFiles<Field>> {
    check(grpcComplaint, 'message', message, anObject);
    check(grpcComplaint, 'fields', fields, aListOfNames);
    check(grpcComplaint, 'options', given, anObject);
    const { expect, ...options } = given;
    checkReceiveOptions(options);
    checkExpectations(fields, expect ?? {});
    const sources = new Map(fields.map((field) => [field, this.#parse(message[field])]));
    const [first] = sources.values();
    if (options.signal?.aborted && first !== undefined) await this.#receive(first, options, (fd) => fd);
    const expected = new Map(Object.entries<Expectation | undefined>(expect ?? {}));
    const files = await receiveAll(this.#fileReceiver(), sources, expected, options);
    // A field may have any name, `__proto__` too.
    const named = Object.create(Object.prototype, Object.fromEntries([...files].map(propertyOf)));
    // Not enumerable: the fields are what it has.
    Object.defineProperty(named, Symbol.asyncDispose, { value: () => closeAll(files.values()) });
    return named as ReceivedFiles<Field>;
  }

  #fileReceiver(): FileReceiver {
    const own = (fd: number, look?: FileLook) => this.adopt(new ReceivedFile(fd, undefined, look));
    const duplicate = (name: InodeName | Reference) => {
      const fd = this.take(name, true);
      return fd === undefined ? undefined : own(fd);
    };
    return {
      lookAt: (reference) => this.#lookAt(reference),
      handOver: (reference, look) => own(this.take(reference, false), look),
      duplicate: duplicate as FileReceiver['duplicate'],
      wait: (name, options) => this.#receive(name, options, (fd) => own(fd)),
    };
  }

  #lookAt(reference: Reference): FileLook {
    let look: FileLook | undefined;
    this.check(reference, (fd) => {
      look = lookAt(fd);
    });
    return look as FileLook;
  }

  /** In most cases the descriptor is here already. Then one promise is made, which is settled. */
  #receive<Result>(
    name: InodeName | Reference,
    options: ReceiveOptions | undefined,
    resultOf: (fd: number) => Result,
  ): Promise<Result> {
    const received = this.receive(name, options);
    return typeof received === 'number'
      ? Promise.resolve(resultOf(received))
      : quiet(received.then(resultOf));
  }

  /** A look that fails must not cost the descriptor, which another receive can have. */
  #receiveLooked<Result>(
    source: DescriptorSource,
    options: ReceiveOptions | undefined,
    resultOf: (fd: number, look: FileLook | undefined) => Result,
  ): Promise<Result> {
    const name = this.#parse(source);
    const isHandedOver = name.kind === 'reference' && options?.keep !== true;
    const look = isHandedOver ? this.#lookAt(name) : undefined;
    return this.#receive(name, options, (fd) => resultOf(fd, look));
  }
}

/** As an async function does, but without a further promise where there is one. */
function settled<Result>(run: () => Promise<Result>): Promise<Result> {
  try {
    return run();
  } catch (error) {
    return quiet(Promise.reject(error));
  }
}

function propertyOf<Value>([name, value]: [string, Value]): [string, PropertyDescriptor] {
  return [name, { value, enumerable: true, writable: true, configurable: true }];
}

/** When a peer hangs up, a receive may reject before the user awaits it. That must not end the process. */
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

const SEND_FILENAME_RULES: RulesFor<SendFilenameOptions> = { flags: openFlags };

/** For calls on connections that cannot carry descriptors: the call goes on, and each send or receive fails. */
export class UnsupportedTransceiver extends Transceiver implements FdServerCall {
  readonly connection = undefined;
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

  protected take(): never {
    throw this.#error();
  }

  /** Nothing can come. */
  async *received(): AsyncIterableIterator<ReceivedFile> {}
}

export function noDescriptorSupport(): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT',
    'this call does not run over a connection that carries file descriptors. Such a connection needs a unix: or unix-abstract: target, ' +
      'grpcfd.channelCredentials() at the client, and grpcfd.serverCredentials() at the server',
  );
}
