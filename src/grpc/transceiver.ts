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
import { quotePeerText } from '../error-text.js';
import { GrpcFdError } from '../errors.js';
import type { InodeName } from '../inbox/names.js';
import { checkReceiveOptions, type ReceiveOptions } from '../inbox/pending-receive.js';
import { native, O_PATH } from '../native/binding.js';
import { type CountedFd, duplicateToSend, takeOverToSend } from './counted-fd.js';
import type {
  FdServerCall,
  FdTransceiver,
  NamesOf,
  ReceivedFiles,
  SendableFiles,
  SendFilenameOptions,
} from './fd-transceiver.js';
import { noteOnCopies } from './package-copies.js';
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
    return this.send(takeOverToSend(openWithoutWaiting(path, toOpenFlags(options.flags ?? O_PATH))));
  }

  recvFd(source: DescriptorSource, options?: ReceiveFileOptions): Promise<number> {
    return settled(() => {
      const { wait, expect } = splitOptions(options);
      if (expect === undefined) return this.#receive(this.#parse(source), wait, giveAway);
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
    // Not awaited at its end: a close may take any time.
    using file = await from.recvFile(source, { ...wait, keep: true });
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
    const sent = this.send(takeOverToSend(file.release()));
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
    const sources = new Map(fields.map((field) => [field, this.#parse(fieldOf(message, field))]));
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

/** The descriptor is the user's from now on. */
function giveAway(fd: number): number {
  native.unguard(fd);
  return fd;
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

/** Messages of google-protobuf have their fields behind getters, and an undefined one in each place where a user looks for them. */
function fieldOf<Field extends string>(
  message: Readonly<Record<Field, DescriptorSource>>,
  field: Field,
): DescriptorSource {
  const value: unknown = message[field];
  if (value !== undefined && value !== null && typeof value !== 'function') return message[field];
  throw new GrpcFdError(
    'ERR_GRPCFD_INVALID_ARGUMENT',
    `the field ${quotePeerText(field)} of the message is ${typeof value === 'function' ? 'a function' : value}. ` +
      'If the message has its fields behind getters, as those of google-protobuf, give message.toObject()',
  );
}

/** The error of a handler may become the status of its call, which the peer reads. */
export function noDescriptorSupport(reader: 'this process' | 'peer' = 'peer'): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT',
    'this call does not run over a connection that carries file descriptors. Such a connection needs a unix: or unix-abstract: target, ' +
      `grpcfd.channelCredentials() at the client, and grpcfd.serverCredentials() at the server${noteOnCopies(reader)}`,
  );
}
