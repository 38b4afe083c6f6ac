import { constants } from 'node:os';
import { ETOOMANYREFS, systemError } from '../native/binding.js';
import type { SocketHandle } from '../native/bridge-types.js';
import { packFds } from '../native/fd-lists.js';
import { Backoff } from './backoff.js';
import { batch, MAX_DESCRIPTORS_PER_MESSAGE, OutgoingDescriptors } from './outgoing-descriptors.js';
import type { UnreadDescriptors } from './unread-descriptors.js';

const { EAGAIN, ECONNRESET, ENOBUFS, ENOMEM, ENOTCONN, EPERM, EPIPE } = constants.errno;

/**
 * Errors that neither a descriptor nor this connection has caused: the kernel has no memory, or this user has too many descriptors in
 * flight.
 */
const TRANSIENT: ReadonlySet<number> = new Set([ETOOMANYREFS, ENOBUFS, ENOMEM]);

/** Errors that tell that the peer has gone. No descriptor has caused them. */
const PEER_GONE: ReadonlySet<number> = new Set([EPIPE, ECONNRESET, ENOTCONN]);

/**
 * Delays after a transient failure, before the connection fails. The number of descriptors in flight goes down as soon as any process of
 * this user receives some, within milliseconds. Ten seconds pass only when a receiver is stuck.
 */
const TRANSIENT_RETRY = { firstMs: 1, longestMs: 250, totalMs: 10_000 };

/** Delays while the peer reads none of many descriptors. There is no limit: such a peer delays only what is sent to it. */
const UNREAD_RETRY = { firstMs: 1, longestMs: 100, totalMs: Number.POSITIVE_INFINITY };

/** How far {@link Sender.flush} got with the current write. */
export type SendProgress =
  /** All bytes were sent. */
  | { readonly state: 'done' }
  /** It goes on when the socket is writable. */
  | { readonly state: 'blocked' }
  /** It goes on after the delay. */
  | { readonly state: 'later'; readonly delayMs: number }
  /** Some bytes may have been sent, so nothing can be sent on this connection any more. */
  | { readonly state: 'failed'; readonly error: NodeJS.ErrnoException };

/** The socket of a {@link Sender}. */
export type SendHandle = Pick<SocketHandle, 'send' | 'probe'>;

/** Whether a failed sendmsg may succeed later. */
export function isTransient(errno: number): boolean {
  return TRANSIENT.has(errno);
}

const DONE: SendProgress = { state: 'done' };
const BLOCKED: SendProgress = { state: 'blocked' };

/** The sending half of a socket: one write at a time, and the descriptors that travel with its bytes. */
export class Sender {
  readonly descriptors = new OutgoingDescriptors();
  readonly #handle: SendHandle;
  readonly #backoff = new Backoff(TRANSIENT_RETRY);
  readonly #unread: UnreadDescriptors | undefined;
  readonly #unreadBackoff = new Backoff(UNREAD_RETRY);
  #buffers: readonly Uint8Array[] = [];
  #remaining = 0;
  #bytesWritten = 0;

  /** With `unread`, descriptors wait while the peer does not read those that were sent before. */
  constructor(handle: SendHandle, unread?: UnreadDescriptors) {
    this.#handle = handle;
    this.#unread = unread;
  }

  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** Whether nothing of a write is left to be sent. */
  get isIdle(): boolean {
    return this.#remaining === 0;
  }

  begin(buffers: readonly Uint8Array[]): void {
    this.#buffers = buffers;
    this.#remaining = 0;
    for (const { length } of buffers) this.#remaining += length;
  }

  /** Copies the rest of the current write, whose memory is going to be used for something else. */
  keep(): void {
    this.#buffers = this.#buffers.map((buffer) => Uint8Array.prototype.slice.call(buffer));
  }

  /** Drops the rest of the current write. */
  abandon(): void {
    this.#buffers = [];
    this.#remaining = 0;
  }

  /** Sends as much of the current write as the kernel takes now. */
  flush(): SendProgress {
    while (this.#remaining > 0) {
      const count = this.descriptors.nextBatch();
      // Where more descriptors wait than fit into this message, it takes one byte only. The next messages need bytes, too.
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
   * Sends one message, when nothing waits to be sent before it. Returns how many of the bytes the kernel took. With any of them, it took all
   * of `fds`, which are only borrowed. With 0, nothing was sent, for whatever reason.
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

  /** The state after a failed message, or undefined if it can be tried again at once. */
  #afterFailure(errno: number, batchLength: number): SendProgress | undefined {
    if (TRANSIENT.has(errno)) {
      const delayMs = this.#backoff.next();
      if (delayMs !== undefined) return { state: 'later', delayMs };
    } else if (batchLength > 0 && !PEER_GONE.has(errno)) {
      try {
        if (this.descriptors.replaceRefused(batchLength, (fd) => this.#whyRefused(fd))) return undefined;
        if (errno === EPERM) {
          // Even a placeholder cannot be sent: the peer does not accept descriptors (SO_PASSRIGHTS), or a security module forbids them.
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
