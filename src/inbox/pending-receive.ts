import { anAbortSignal, checkGrpcOptions, type RulesFor, rule } from '../checks.js';
import { GrpcFdError } from '../errors.js';
import { clearTimeout, setTimeout } from '../timers.js';
import type { CallScope } from './call-scope.js';
import { MAX_TIMER_MS } from './clock.js';
import type { Inbox, Taken } from './inbox.js';
import { type DescriptorName, describeName } from './names.js';
import type { Waiter } from './waits.js';

/** Options of a receive: how long it waits. Without either, it waits until the descriptor arrives, or can never arrive. */
export interface ReceiveOptions {
  /** When it aborts, the receive fails with `ERR_GRPCFD_ABORTED`, whose `cause` is the reason of the signal. Default: none. */
  readonly signal?: AbortSignal | undefined;
  /** After so many milliseconds, the receive fails with `ERR_GRPCFD_TIMEOUT`. Above 0 and at most 2^31-1. Default: none. */
  readonly timeoutMs?: number | undefined;
}

const RULES: RulesFor<ReceiveOptions> = {
  signal: anAbortSignal,
  timeoutMs: rule(
    `above 0 and at most ${MAX_TIMER_MS}`,
    (value) => typeof value === 'number',
    (value) => Number(value) > 0 && Number(value) <= MAX_TIMER_MS,
  ),
};

/** The place in which a received descriptor came. */
export interface ReceiveSource {
  readonly inbox: Inbox;
  readonly sequence: number;
}

/**
 * One receive as its user sees it. It may be attached to several connections over time: a call of a client
 * learns late which one carries it, and a retry may take another. The first result counts, and withdraws it
 * everywhere.
 */
export class PendingReceive {
  /**
   * The descriptor, which is then the user's own. Nothing happens when a rejection goes unread: a receiver
   * that was given up must not end the process when the peer hangs up.
   */
  readonly promise: Promise<number>;

  readonly #name: DescriptorName;
  readonly #attached = new Map<Inbox, () => void>();
  #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => this.fail(aborted(this.#name, this.#signal));
  readonly #onSettle: ((receive: PendingReceive) => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #source: ReceiveSource | undefined;
  #isSettled = false;
  #resolve: (fd: number) => void = () => {};
  #reject: (error: GrpcFdError) => void = () => {};

  /**
   * Options that are not valid, and a signal that is aborted already, fail it at once, before this returns.
   * `onSettle` must not throw.
   */
  constructor(
    name: DescriptorName,
    options: ReceiveOptions = {},
    onSettle?: (receive: PendingReceive) => void,
  ) {
    this.#name = name;
    this.#onSettle = onSettle;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.promise.catch(() => {});
    this.#start(options);
  }

  /** Where the descriptor came from, once it has come. */
  get source(): ReceiveSource | undefined {
    return this.#source;
  }

  get isSettled(): boolean {
    return this.#isSettled;
  }

  /**
   * Takes the descriptor where it is here already, and waits for it otherwise. What the inbox throws fails
   * the receive.
   */
  attach(inbox: Inbox, scope?: CallScope): void {
    if (this.#isSettled || this.#attached.has(inbox)) return;
    try {
      const taken = inbox.takeWithSequence(this.#name, scope);
      if (taken !== undefined) this.#resolveWith(taken, inbox);
      else if (this.#name.kind === 'inode') {
        const waiter: Waiter = {
          arrived: (fd, sequence) => this.#resolveWith({ fd, sequence }, inbox),
          failed: (error) => this.fail(error),
        };
        this.#attached.set(inbox, inbox.wait(this.#name, waiter, scope));
      }
    } catch (error) {
      if (!(error instanceof GrpcFdError)) throw error;
      this.fail(error);
    }
  }

  /** Withdraws the wait on one connection, and keeps the receive open. */
  detach(inbox: Inbox): void {
    this.#attached.get(inbox)?.();
    this.#attached.delete(inbox);
  }

  /** Ends the receive with `error`, unless it is settled. */
  fail(error: GrpcFdError): void {
    if (this.#isSettled) return;
    this.#settle();
    this.#reject(error);
  }

  /** Never after the receive settled: settling withdraws every wait, and a withdrawn one is closed by its inbox. */
  #resolveWith({ fd, sequence }: Taken, inbox: Inbox): void {
    this.#source = { inbox, sequence };
    this.#settle();
    this.#resolve(fd);
  }

  #start(options: ReceiveOptions): void {
    try {
      checkGrpcOptions(options, RULES);
    } catch (error) {
      this.fail(error as GrpcFdError);
      return;
    }
    const { signal, timeoutMs } = options;
    this.#signal = signal;
    if (signal?.aborted) {
      this.#onAbort();
      return;
    }
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (timeoutMs !== undefined) {
      this.#timer = setTimeout(() => this.fail(timedOut(this.#name, timeoutMs)), timeoutMs);
    }
  }

  #settle(): void {
    this.#isSettled = true;
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener('abort', this.#onAbort);
    for (const withdraw of this.#attached.values()) withdraw();
    this.#attached.clear();
    this.#onSettle?.(this);
  }
}

/**
 * One receive on one connection: a duplicate, the caller's own, at once where it is here already; otherwise a promise of one. With
 * options it always is a promise.
 *
 * @throws GrpcFdError when it is known at once that it cannot come
 */
export function receive(
  inbox: Inbox,
  name: DescriptorName,
  options: ReceiveOptions,
  scope?: CallScope,
): Promise<number>;
export function receive(
  inbox: Inbox,
  name: DescriptorName,
  options?: ReceiveOptions,
  scope?: CallScope,
): number | Promise<number>;
export function receive(
  inbox: Inbox,
  name: DescriptorName,
  options?: ReceiveOptions,
  scope?: CallScope,
): number | Promise<number> {
  if (options === undefined) {
    const fd = inbox.take(name, scope);
    if (fd !== undefined) return fd;
  }
  const pending = new PendingReceive(name, options);
  pending.attach(inbox, scope);
  return pending.promise;
}

function aborted(name: DescriptorName, signal: AbortSignal | undefined): GrpcFdError {
  return new GrpcFdError('ERR_GRPCFD_ABORTED', `receiving ${describeName(name)} was aborted`, {
    cause: signal?.reason,
  });
}

function timedOut(name: DescriptorName, timeoutMs: number): GrpcFdError {
  return new GrpcFdError('ERR_GRPCFD_TIMEOUT', `${describeName(name)} did not arrive within ${timeoutMs} ms`);
}
