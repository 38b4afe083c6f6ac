import { quotePeerText } from '../error-text.js';
import { GrpcFdError } from '../errors.js';
import { clearTimeout, setTimeout } from '../timers.js';
import type { CallScope } from './call-scope.js';
import { MAX_TIMER_MS } from './clock.js';
import type { Inbox } from './inbox.js';
import { type DescriptorName, describeName } from './names.js';
import type { Waiter } from './waits.js';

/** How long a receive waits. Without either, until it is settled by what arrives or ends. */
export interface ReceiveOptions {
  /** Ends the wait with `ERR_GRPCFD_ABORTED`, whose `cause` is the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Ends the wait with `ERR_GRPCFD_TIMEOUT`. Above 0, at most 2^31-1. Default: none. */
  readonly timeoutMs?: number | undefined;
  /**
   * By `ref`: gives a duplicate and leaves the descriptor for the next receive, as for an interceptor that looks first, or a
   * second backend. Default: false, the descriptor is handed over, and a second receive of it fails. A receive by URL always gives
   * a duplicate.
   */
  readonly keep?: boolean | undefined;
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
  readonly #signal: AbortSignal | undefined;
  readonly #keep: boolean;
  readonly #onAbort = (): void => this.fail(aborted(this.#name, this.#signal));
  readonly #onSettled: ((receive: PendingReceive) => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #settled = false;
  #resolve: (fd: number) => void = () => {};
  #reject: (error: GrpcFdError) => void = () => {};

  /**
   * Options that are not valid, and a signal that is aborted already, fail it at once, before this returns.
   * `onSettled` must not throw.
   */
  constructor(
    name: DescriptorName,
    options: ReceiveOptions = {},
    onSettled?: (receive: PendingReceive) => void,
  ) {
    this.#name = name;
    this.#signal = options.signal;
    this.#keep = options.keep === true;
    this.#onSettled = onSettled;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.promise.catch(() => {});
    this.#start(options);
  }

  get settled(): boolean {
    return this.#settled;
  }

  /**
   * Takes the descriptor where it is here already, and waits for it otherwise. What the inbox throws fails
   * the receive.
   */
  attach(inbox: Inbox, scope?: CallScope): void {
    if (this.#settled || this.#attached.has(inbox)) return;
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

  /** Withdraws the wait on one connection, and keeps the receive open. */
  detach(inbox: Inbox): void {
    this.#attached.get(inbox)?.();
    this.#attached.delete(inbox);
  }

  /** Ends the receive with `error`, unless it is settled. */
  fail(error: GrpcFdError): void {
    if (this.#settled) return;
    this.#settle();
    this.#reject(error);
  }

  /** Never after the receive settled: settling withdraws every wait, and a withdrawn one is closed by its inbox. */
  #resolveWith(fd: number): void {
    this.#settle();
    this.#resolve(fd);
  }

  #start({ signal, timeoutMs }: ReceiveOptions): void {
    if (
      timeoutMs !== undefined &&
      !(Number.isFinite(timeoutMs) && timeoutMs > 0 && timeoutMs <= MAX_TIMER_MS)
    ) {
      const range = `above 0 and at most ${MAX_TIMER_MS}`;
      this.fail(
        new GrpcFdError(
          'ERR_GRPCFD_INVALID_ARGUMENT',
          `timeoutMs must be ${range}, not ${quotePeerText(timeoutMs)}`,
        ),
      );
      return;
    }
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
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener('abort', this.#onAbort);
    for (const withdraw of this.#attached.values()) withdraw();
    this.#attached.clear();
    this.#onSettled?.(this);
  }
}

/**
 * One receive on one connection: a descriptor of the caller's own, at once where it is here already; otherwise a promise of one. With
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
