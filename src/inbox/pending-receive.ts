import { aBoolean, anAbortSignal, checkGrpcOptions, type RulesFor } from '../checks.js';
import { GrpcFdError } from '../errors.js';
import { clearTimeout, setTimeout } from '../timers.js';
import type { CallScope } from './call-scope.js';
import { aTimeout } from './clock.js';
import type { Inbox } from './inbox.js';
import { type DescriptorName, describeName } from './names.js';
import type { Waiter } from './waits.js';

/** Options of a receive: how long it waits. Without either, it waits until the descriptor arrives, or can never arrive. */
export interface ReceiveOptions {
  /** When it aborts, the receive fails with `ERR_GRPCFD_ABORTED`, whose `cause` is the reason of the signal. Default: none. */
  readonly signal?: AbortSignal | undefined;
  /** After so many milliseconds, the receive fails with `ERR_GRPCFD_TIMEOUT`. Above 0 and at most 2^31-1. Default: none. */
  readonly timeoutMs?: number | undefined;
  /**
   * For a receive by `ref`: true gives a duplicate, and leaves the descriptor for the next receive. Default: false, the descriptor is
   * handed over, and a second receive of it fails. A receive by URL always gives a duplicate.
   */
  readonly keep?: boolean | undefined;
}

const RULES: RulesFor<ReceiveOptions> = {
  signal: anAbortSignal,
  timeoutMs: aTimeout,
  keep: aBoolean,
};

/** @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` */
export function checkReceiveOptions(options: ReceiveOptions): void {
  checkGrpcOptions(options, RULES);
}

/**
 * One receive of a user. It may wait on several connections: the connection of a client's call is known late, and a retry may use another
 * one. The first result counts, and ends the waits on all connections.
 */
export class PendingReceive {
  /**
   * Resolves to the descriptor, which belongs to the user then. A rejection that nobody handles does not end the process: the user may have
   * abandoned the receive when the peer hangs up.
   */
  readonly promise: Promise<number>;

  readonly #name: DescriptorName;
  readonly #attached = new Map<Inbox, () => void>();
  #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => this.fail(aborted(this.#name, this.#signal));
  readonly #onSettle: ((receive: PendingReceive) => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #keep = false;
  #isSettled = false;
  #resolve: (fd: number) => void = () => {};
  #reject: (error: GrpcFdError) => void = () => {};

  /**
   * Wrong options, or a signal that has aborted, fail the receive before this returns. `onSettle` must not throw.
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

  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** Takes the descriptor if it is in that inbox, and waits for it there otherwise. An error of the inbox fails the receive. */
  attach(inbox: Inbox, scope?: CallScope): void {
    if (this.#isSettled || this.#attached.has(inbox)) return;
    try {
      const fd = inbox.take(this.#name, scope, this.#keep);
      if (fd !== undefined) this.#resolveWith(fd);
      else if (this.#name.kind === 'inode') {
        const waiter: Waiter = {
          arrived: (fd) => this.#resolveWith(fd),
          failed: (error) => this.fail(error),
        };
        this.#attached.set(inbox, inbox.wait(this.#name, waiter, scope));
      }
    } catch (error) {
      if (!(error instanceof GrpcFdError)) throw error;
      this.fail(error);
    }
  }

  /** Ends the wait on one connection. The receive goes on. */
  detach(inbox: Inbox): void {
    this.#attached.get(inbox)?.();
    this.#attached.delete(inbox);
  }

  /** Fails the receive with `error`, unless it is settled. */
  fail(error: GrpcFdError): void {
    if (this.#isSettled) return;
    this.#settle();
    this.#reject(error);
  }

  /** Is not called after the receive has settled: that withdraws every wait, and an inbox closes the duplicate for a withdrawn wait. */
  #resolveWith(fd: number): void {
    this.#settle();
    this.#resolve(fd);
  }

  #start(options: ReceiveOptions): void {
    try {
      checkReceiveOptions(options);
    } catch (error) {
      this.fail(error as GrpcFdError);
      return;
    }
    const { signal, timeoutMs, keep = false } = options;
    this.#signal = signal;
    this.#keep = keep;
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
 * One receive on one connection. Returns a descriptor that belongs to the caller: directly if the descriptor is here and there are no
 * options, in a promise otherwise.
 *
 * @throws GrpcFdError when it is known at once that the descriptor cannot come
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
