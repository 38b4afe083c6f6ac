import { constants } from 'node:os';
import { anAbortSignal, checkGrpcOptions, type RulesFor } from '../checks.js';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';
import type { FileKind } from '../native/file-types.js';
import type { Channel } from './channel.js';
import { closedByOwner, closeWhenCollected } from './close-when-collected.js';
import { type EndingCall, FileContent } from './file-content.js';
import { assertExpected, type FileAccess } from './file-kind.js';

/** Options of {@link EventFd.values}. */
export interface EventFdValuesOptions {
  /** When it aborts, the iteration fails with `ERR_GRPCFD_ABORTED`, whose `cause` is the reason of the signal. Default: none. */
  readonly signal?: AbortSignal | undefined;
}

const RULES: RulesFor<EventFdValuesOptions> = { signal: anAbortSignal };

const COUNTER_BYTES = 8;

/** Each eventfd, for those who read it. All have one URL, which would tell nothing in a text. */
const FILE = { url: 'the eventfd', kind: 'eventfd', access: 'readwrite', device: [0, 0] } as const;

/**
 * Makes a doorbell that can be sent to other processes: an eventfd with the counter 0, which is no semaphore. It is non-blocking, so that a
 * receiver in C gets EAGAIN from a read before the next ring, and Go waits for it without a thread. The result belongs to the caller, who
 * closes it.
 *
 * @throws the error of the failed syscall (EMFILE)
 */
export function createEventFd(): EventFd {
  return new EventFd(native.createEventFd());
}

/**
 * A doorbell between processes: an eventfd. All who have the open file ring it with {@link notify}, and wait for it by iterating:
 *
 * ```ts
 * for await (const rings of bell) { … } // rings is a bigint
 * ```
 *
 * A turn of the iteration takes the counter of the eventfd, which is the sum of all rings since it was last taken, and leaves 0. So several
 * rings can give one turn, and no ring is lost. A ring that came before the iteration gives a turn, too. What a process has stored into shared
 * memory before it rings is seen after the turn. Each ring gives a turn to one of those who wait, in this process or in others: use an eventfd
 * of its own for each receiver. With an eventfd that somebody else has made as a semaphore (EFD_SEMAPHORE), each turn takes 1.
 *
 * It owns its descriptor, and closes it once: at {@link close}, at the end of a `using` block, or when this object is collected, which gives a
 * process warning with the code `GRPCFD_UNCLOSED`. It can be sent like any file: `fds.sendFile(bell)`. Name it by `ref`: all eventfds of a
 * machine have the same URL.
 */
export class EventFd implements Disposable, AsyncIterable<bigint> {
  readonly #content: FileContent;
  #channel: Channel | undefined;
  #keepsAlive = true;
  #fd: number | undefined;

  /** @internal Takes ownership of `fd`, an eventfd. Its iterations end with `call`. */
  constructor(fd: number, call?: EndingCall) {
    this.#content = new FileContent({ ...FILE, fd }, false, this);
    if (call !== undefined) this.#content.endWith(call);
    this.#fd = fd;
    native.guard(fd);
    closeWhenCollected(this, fd, `An EventFd (fd ${fd})`);
  }

  /**
   * The number of the descriptor. It belongs to this object: it can be sent and looked at, but must not be closed by others.
   *
   * @throws GrpcFdError `ERR_GRPCFD_FILE_CLOSED` after {@link close}
   */
  get fd(): number {
    if (this.#fd !== undefined) return this.#fd;
    throw closedError();
  }

  /** Whether {@link close} was called. */
  get closed(): boolean {
    return this.#fd === undefined;
  }

  /**
   * Rings: adds 1 to the counter. It never waits, whatever other processes do with the open file. A counter that somebody has filled up stays
   * as it is: it is rung already. It also works after the end of the call in which the eventfd was received.
   *
   * @throws GrpcFdError `ERR_GRPCFD_FILE_CLOSED`; `ERR_GRPCFD_WOULD_BLOCK` where the open file is blocking, and the kernel or its sandbox
   * has no `io_submit`
   */
  notify(): void {
    const failed = -native.ringEventFd(this.fd);
    if (failed === 0) return;
    const cause = native.systemError(failed, 'io_submit');
    if (failed !== constants.errno.EOPNOTSUPP) throw cause;
    const text =
      'the eventfd is blocking, and a ring could wait for others, because the kernel or its sandbox has no io_submit';
    throw new GrpcFdError('ERR_GRPCFD_WOULD_BLOCK', text, { cause });
  }

  /**
   * Takes the counter again and again: see {@link EventFd}. Nothing is taken for an iteration that has ended, so its last ring is left to the
   * next one. It waits without a thread. It is over after {@link close}. It fails when the signal aborts, and at the end of the call in whose
   * handler the eventfd was received.
   *
   * @throws GrpcFdError `ERR_GRPCFD_FILE_CLOSED`, `ERR_GRPCFD_INVALID_ARGUMENT`, `ERR_GRPCFD_CALL_ENDED`; in the iteration
   * `ERR_GRPCFD_ABORTED`, `ERR_GRPCFD_CALL_ENDED`; `ERR_GRPCFD_WOULD_BLOCK` before Linux 5.8, where the open file is blocking
   */
  values(options: EventFdValuesOptions = {}): AsyncIterableIterator<bigint> {
    checkGrpcOptions(options, RULES);
    const { fd } = this;
    this.#channel = this.#content.channel(fd, {});
    this.#channel?.keepAlive(this.#keepsAlive);
    return this.#iterate(fd, options.signal);
  }

  /** {@link values} without options, for `for await`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<bigint> {
    return this.values();
  }

  /** The process stays alive while an iteration waits. It is so at first. */
  ref(): this {
    return this.#setKeepsAlive(true);
  }

  /** The process may end while an iteration waits. */
  unref(): this {
    return this.#setKeepsAlive(false);
  }

  /** Closes the descriptor at once, and ends the iterations. Other processes keep what was sent to them. Idempotent. */
  close(): void {
    const fd = this.#fd;
    if (fd === undefined) return;
    this.#fd = undefined;
    closedByOwner(this);
    this.#content.end(closedError());
    native.close(fd);
  }

  /** {@link close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  #iterate(fd: number, signal: AbortSignal | undefined): AsyncIterableIterator<bigint> {
    // Ends what waits at return(), which a generator would only run when its next() has settled.
    const returned = new AbortController();
    const ended = signal === undefined ? returned.signal : AbortSignal.any([signal, returned.signal]);
    let isOver = false;
    const over = (): IteratorReturnResult<undefined> => {
      isOver = true;
      return { done: true, value: undefined };
    };
    const iterator: AsyncIterableIterator<bigint> = {
      next: async () => {
        if (isOver || this.closed) return over();
        const counter = Buffer.alloc(COUNTER_BYTES);
        try {
          await this.#content.read(fd, counter, null, { signal: ended });
          return { done: false, value: counter.readBigUInt64LE() };
        } catch (error) {
          if (isOver || this.closed) return over();
          isOver = true;
          throw error;
        }
      },
      return: async () => {
        const result = over();
        returned.abort();
        return result;
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  #setKeepsAlive(wanted: boolean): this {
    this.#keepsAlive = wanted;
    this.#channel?.keepAlive(wanted);
    return this;
  }
}

/** The part of a {@link ReceivedFile} that is needed to take its descriptor over. */
export interface AdoptedFile {
  readonly url: string;
  readonly kind: FileKind;
  readonly access: FileAccess;
  release(): number;
}

/**
 * Takes the descriptor of `file` over, where that is an eventfd.
 *
 * @throws the errors of {@link ReceivedFile.toEventFd}
 */
export function adoptEventFd(file: AdoptedFile, call: EndingCall | undefined): EventFd {
  assertExpected(file.url, file, { kind: 'eventfd' });
  return new EventFd(file.release(), call);
}

function closedError(): GrpcFdError {
  return new GrpcFdError('ERR_GRPCFD_FILE_CLOSED', 'the eventfd was closed');
}
