import { constants } from 'node:os';
import { ETOOMANYREFS, systemError } from '../native/binding.js';
import { packFds } from '../native/fd-lists.js';
import type { SocketHandle } from '../native/types.js';
import { Backoff } from './backoff.js';
import { batch, MAX_DESCRIPTORS_PER_MESSAGE, OutgoingDescriptors } from './outgoing-descriptors.js';
import type { UnreadDescriptors } from './unread-descriptors.js';

const { EAGAIN, ECONNRESET, ENOBUFS, ENOMEM, ENOTCONN, EPERM, EPIPE } = constants.errno;

/**
 * Not the fault of any descriptor, nor of this connection: memory, or the limit on this user's descriptors in
 * flight.
 */
const TRANSIENT: ReadonlySet<number> = new Set([ETOOMANYREFS, ENOBUFS, ENOMEM]);

/** The peer is gone: no descriptor is to blame. */
const PEER_GONE: ReadonlySet<number> = new Set([EPIPE, ECONNRESET, ENOTCONN]);

/**
 * How long a transient failure is sat out before the connection fails. Descriptors in flight become fewer as
 * soon as any process of this user receives some, which is a matter of milliseconds; ten seconds pass only
 * when a receiver is stuck.
 */
const TRANSIENT_RETRY = { firstMs: 1, longestMs: 250, totalMs: 10_000 };

/** How often a peer is looked at that reads none of many descriptors. It may take as long as it likes: it only holds itself up. */
const UNREAD_RETRY = { firstMs: 1, longestMs: 100, totalMs: Number.POSITIVE_INFINITY };

export type SendProgress =
  | { readonly state: 'done' }
  /** To be continued when the socket is writable. */
  | { readonly state: 'blocked' }
  | { readonly state: 'later'; readonly delayMs: number }
  /** Some bytes may have gone, so nothing may be sent on this connection any more. */
  | { readonly state: 'failed'; readonly error: NodeJS.ErrnoException };

/** What a {@link Sender} sends through. */
export type SendHandle = Pick<SocketHandle, 'send' | 'probe'>;

/** Whether only time can mend a failed sendmsg: it is not the connection's fault. */
export function isTransient(errno: number): boolean {
  return TRANSIENT.has(errno);
}

const DONE: SendProgress = { state: 'done' };
const BLOCKED: SendProgress = { state: 'blocked' };

/** The sending half of a socket: one write at a time, and the descriptors that ride on its bytes. */
export class Sender {
  readonly descriptors = new OutgoingDescriptors();
  readonly #handle: SendHandle;
  readonly #backoff = new Backoff(TRANSIENT_RETRY);
  readonly #unread: UnreadDescriptors | undefined;
  readonly #unreadBackoff = new Backoff(UNREAD_RETRY);
  #buffers: readonly Uint8Array[] = [];
  #remaining = 0;
  #bytesWritten = 0;

  /** With `unread`, descriptors wait for a peer that reads none. */
  constructor(handle: SendHandle, unread?: UnreadDescriptors) {
    this.#handle = handle;
    this.#unread = unread;
  }

  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** Nothing of a write is left to be sent. */
  get isIdle(): boolean {
    return this.#remaining === 0;
  }

  begin(buffers: readonly Uint8Array[]): void {
    this.#buffers = buffers;
    this.#remaining = 0;
    for (const { length } of buffers) this.#remaining += length;
  }

  /** Copies what is left of the current write: its memory is needed for something else. */
  keep(): void {
    this.#buffers = this.#buffers.map((buffer) => Uint8Array.prototype.slice.call(buffer));
  }

  /** Nothing more is sent of the current write. */
  abandon(): void {
    this.#buffers = [];
    this.#remaining = 0;
  }

  /** Sends as much of the current write as the kernel takes now. */
  flush(): SendProgress {
    while (this.#remaining > 0) {
      const count = this.descriptors.nextBatch();
      // A message that leaves descriptors behind takes one byte only, so that the next ones have bytes to
      // ride on.
      const limit = this.descriptors.length > count ? 1 : this.#remaining;
      if (count > 0 && this.#unread?.mustWait(count)) {
        return { state: 'later', delayMs: this.#unreadBackoff.next() ?? UNREAD_RETRY.longestMs };
      }
      const result = this.#handle.send(this.#buffers, limit, batch, count);
      if (result >= 0) {
        this.#backoff.reset();
        if (count > 0) {
          this.#unreadBackoff.reset();
          this.#unread?.sent(count, result);
        }
        this.#advance(result);
        this.descriptors.markSent(count);
        continue;
      }
      if (result === -EAGAIN) return BLOCKED;
      const progress = this.#afterFailure(-result, count);
      if (progress) return progress;
    }
    return DONE;
  }

  /**
   * One message, when nothing waits to be sent before it: how many of the bytes the kernel took at once, and with them all of
   * `fds`, which are only borrowed. 0: nothing has been sent, for whatever reason.
   */
  sendNow(bytes: Uint8Array, fds: readonly number[]): number {
    const packed = packFds(fds);
    if (bytes.length === 0 || fds.length > MAX_DESCRIPTORS_PER_MESSAGE) return 0;
    const sent = this.#handle.send([bytes], bytes.length, packed, fds.length);
    if (sent < 0) return 0;
    this.#bytesWritten += sent;
    this.descriptors.countSent(fds.length);
    return sent;
  }

  /** What to do about a failed message, or undefined: try again at once. */
  #afterFailure(errno: number, batchLength: number): SendProgress | undefined {
    if (TRANSIENT.has(errno)) {
      const delayMs = this.#backoff.next();
      if (delayMs !== undefined) return { state: 'later', delayMs };
    } else if (batchLength > 0 && !PEER_GONE.has(errno)) {
      try {
        if (this.descriptors.replaceRefused(batchLength, (fd) => this.#whyRefused(fd))) return undefined;
        if (errno === EPERM) {
          // Not even a placeholder may be sent: the peer takes no descriptors (SO_PASSRIGHTS), or a security module forbids them.
          this.descriptors.refuseAll(systemError(errno, 'sendmsg'));
          return undefined;
        }
      } catch (error) {
        return { state: 'failed', error: error as NodeJS.ErrnoException };
      }
    }
    return { state: 'failed', error: systemError(errno, 'sendmsg') };
  }

  #whyRefused(fd: number): Error | null {
    const errno = -this.#handle.probe(fd);
    return errno === 0 || TRANSIENT.has(errno) || PEER_GONE.has(errno) ? null : systemError(errno, 'sendmsg');
  }

  #advance(bytes: number): void {
    this.#bytesWritten += bytes;
    this.#remaining -= bytes;
    if (this.#remaining === 0) {
      this.#buffers = [];
      return;
    }
    let index = 0;
    let offset = bytes;
    for (const { length } of this.#buffers) {
      if (offset < length) break;
      offset -= length;
      index++;
    }
    const rest = this.#buffers.slice(index);
    const first = rest[0];
    if (first && offset > 0) rest[0] = first.subarray(offset);
    this.#buffers = rest;
  }
}
