import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { peerCredentials, SocketHandle, systemError } from '../native/binding.js';
import { DISCONNECT, type SocketHandle as Handle, READABLE, WRITABLE } from '../native/bridge-types.js';
import { whenClosed } from '../native/closed.js';
import type { PeerCredentials } from '../native/peer-types.js';
import { clearTimeout, nextTick, setTimeout } from '../timers.js';
import { arrivals } from './arrivals.js';
import type { DescriptorOwner, OutgoingDescriptor } from './outgoing-descriptors.js';
import { readBuffer } from './read-buffer.js';
import { Sender, type SendProgress } from './sender.js';

const { EAGAIN, ECANCELED, EPIPE } = constants.errno;

/** Reads in one turn of the event loop. A fast peer is served again in the next turn, after all others. */
const READS_PER_TURN = 16;

/** Is told what happens on a {@link UnixStream}. No method is called after `close()`. */
export interface UnixStreamListener {
  /**
   * Descriptors arrived. They belong to the listener, and are guarded: see `NativeBinding.guard`. It is called before `onData` for the bytes
   * with which they came. With `truncated`, the kernel has dropped some (MSG_CTRUNC), and it is not known which. `fds` may be empty then.
   */
  onDescriptors(fds: number[], truncated: boolean): void;
  onData(chunk: Buffer): void;
  /** The peer has ended its side. */
  onEnd(): void;
  /** Reading failed, and has ended. Writing may still work. */
  onError(error: NodeJS.ErrnoException): void;
}

type Callback = (error: Error | null) => void;

/**
 * Bytes and descriptors over one connected unix stream socket. It buffers nothing: back-pressure is the caller's task.
 *
 * Reading and writing have states of their own until `close()` ends both.
 *
 * | reading | `#reading` | `#readEnded` | watched for READABLE |
 * | --- | --- | --- | --- |
 * | stopped, as at first | no | no | no; for DISCONNECT if `#watchesEnd` |
 * | started | yes | no | yes |
 * | ended, by the peer or an error | any | yes | no |
 *
 * | writing | `#writeCallback` | `#awaitsWritable` | `#retryTimer` runs | `#writeError` | watched for WRITABLE |
 * | --- | --- | --- | --- | --- | --- |
 * | idle | no | no | no | no | no |
 * | blocked: the kernel's buffer is full | yes | yes | no | no | yes |
 * | delayed: the kernel has no memory, or too many descriptors are in flight | yes | no | yes | no | no |
 * | failing: in the next tick, the callback gets the error | yes | no | no | no | no |
 * | over: a write failed, or `shutdown` is done | no | no | no | yes | no |
 *
 * `#shutdownCallback` is set only together with `#writeCallback`: a shutdown waits for the write in progress. `#closed` goes with
 * `#writeError`, and with none of the other flags but `#readEnded`.
 */
export class UnixStream {
  /** The process at the other end, at the time at which the two were connected. */
  readonly peer: PeerCredentials;
  /** The number of the descriptor, which belongs to this object. It is meaningless after `close()` and `release()`. */
  readonly fd: number;
  readonly #listener: UnixStreamListener;
  readonly #handle: Handle;
  readonly #sender: Sender;
  #reading = false;
  #readEnded = false;
  /** While nothing is read, the end of the peer is watched for. */
  #watchesEnd = false;
  #awaitsWritable = false;
  #watched = 0;
  #wantsRef = true;
  #hasRef = true;
  #writeCallback: Callback | undefined;
  #shutdownCallback: Callback | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  /** The error for all later writes, once nothing can be written any more. */
  #writeError: Error | undefined;
  #closed = false;
  /** Descriptors are being delivered, and the bytes that came with them are not yet. */
  #delivering = false;
  #bytesRead = 0;
  #receivedFds = 0;

  /**
   * Takes over `fd`, and makes it non-blocking. When this throws (it is not a unix stream socket), `fd` is still the caller's. Nothing is
   * read until `readStart()`.
   */
  constructor(fd: number, listener: UnixStreamListener) {
    this.peer = peerCredentials(fd);
    this.fd = fd;
    this.#listener = listener;
    this.#handle = new SocketHandle(fd, (events) => this.#onReady(events));
    this.#sender = new Sender(this.#handle);
  }

  get closed(): boolean {
    return this.#closed;
  }

  get bytesRead(): number {
    return this.#bytesRead;
  }

  get bytesWritten(): number {
    return this.#sender.bytesWritten;
  }

  get receivedFds(): number {
    return this.#receivedFds;
  }

  get sentFds(): number {
    return this.#sender.descriptors.sent;
  }

  /** Descriptors that are queued, and that the kernel has not taken yet. */
  get pendingFds(): number {
    return this.#sender.descriptors.length;
  }

  /**
   * Sends a descriptor with the next bytes that are written, or with the rest of a write in progress. n bytes carry at most 64 n
   * descriptors. Others travel with the next write. `descriptor.fd` is only borrowed.
   */
  queueDescriptor(descriptor: OutgoingDescriptor): void {
    this.queueDescriptors([descriptor.fd], descriptor);
  }

  /** {@link queueDescriptor} for several descriptors of one owner. */
  queueDescriptors(fds: readonly number[], owner: DescriptorOwner): void {
    for (const fd of fds) this.#sender.descriptors.push(fd, owner);
    if (this.#writeError) this.#sender.descriptors.rejectAll(this.#writeError);
  }

  /**
   * Sends one message at once, if nothing waits before it. Returns how many of the bytes the kernel took. With any of them, it took all of
   * `fds`, which are only borrowed. With 0, nothing was sent, and `queueDescriptors` and `write` will report the reason.
   */
  writeNow(bytes: Uint8Array, fds: readonly number[]): number {
    if (this.#writeCallback || this.#shutdownCallback || this.#writeError || this.pendingFds > 0) return 0;
    return this.#sender.sendNow(bytes, fds);
  }

  /**
   * Tries to write at once. True if all bytes were written: `callback` is not called then. False if `callback` will be called later, once.
   * There can be one write at a time. The memory must not change before the write is done.
   */
  write(buffers: readonly Uint8Array[], callback: Callback): boolean {
    assert(!this.#writeCallback, 'a write is still in progress');
    if (this.#writeError) {
      nextTick(callback, this.#writeError);
      return false;
    }
    this.#writeCallback = callback;
    this.#sender.begin(buffers);
    const progress = this.#sender.flush();
    if (this.#closed) return false;
    if (progress.state === 'done') {
      this.#writeCallback = undefined;
      return true;
    }
    if (progress.state === 'failed') {
      nextTick(() => this.#finishWrite(progress.error));
    } else {
      this.#await(progress);
    }
    return false;
  }

  readStart(): void {
    this.#reading = true;
    this.#updateWatch();
  }

  readStop(): void {
    this.#reading = false;
    this.#updateWatch();
  }

  /**
   * While nothing is read, reports the end of the peer as `onEnd`, if there is nothing to read before it. Without this, the end is noticed
   * by reading only. It does not keep the process alive.
   */
  watchEnd(): void {
    this.#watchesEnd = true;
    this.#updateWatch();
  }

  /**
   * Tells the peer, after the write in progress, that no more bytes will come. Descriptors that still wait for bytes then are rejected with
   * ECANCELED. If a write has failed or fails, `callback` gets its error, and the peer is told nothing: it must not think that it has got
   * everything.
   */
  shutdown(callback: Callback): void {
    if (this.#writeError) {
      nextTick(callback, this.#writeError);
      return;
    }
    assert(!this.#shutdownCallback, 'a shutdown is still in progress');
    this.#shutdownCallback = callback;
    if (!this.#writeCallback) this.#finishShutdown();
  }

  /** Why {@link release} would lose something, or undefined. */
  get whyNotReleasable(): string | undefined {
    if (this.#closed) return 'it was closed';
    if (this.#delivering) return 'the bytes that came with the descriptors are still to be delivered';
    if (this.#writeCallback || this.#shutdownCallback) return 'not everything that was written has been sent';
    if (this.pendingFds > 0) return 'not every descriptor has been sent';
    return undefined;
  }

  /** Gives the descriptor to the caller, and ends like `close()`. Nothing may be under way: see {@link whyNotReleasable}. */
  release(): number {
    assert.equal(this.whyNotReleasable, undefined);
    const fd = this.#handle.release();
    this.#finishClose();
    return fd;
  }

  /**
   * Closes the socket. What the peer has sent goes with it, and that may take any time: then a thread does it, and the promise resolves when it
   * is done. Queued descriptors are rejected, and the callback of a write or shutdown in progress is called, all with
   * ECANCELED. Idempotent.
   */
  close(): Promise<void> | undefined {
    if (this.#closed) return undefined;
    const pending = whenClosed((onClosed) => this.#handle.close(onClosed));
    this.#finishClose();
    return pending;
  }

  #finishClose(): void {
    this.#closed = true;
    this.#reading = false;
    this.#awaitsWritable = false;
    clearTimeout(this.#retryTimer);
    const error = systemError(ECANCELED, 'sendmsg');
    this.#writeError ??= error;
    for (const callback of [this.#writeCallback, this.#shutdownCallback]) {
      if (callback) nextTick(callback, error);
    }
    this.#writeCallback = undefined;
    this.#shutdownCallback = undefined;
    this.#sender.abandon();
    this.#sender.descriptors.rejectAll(error);
  }

  ref(): void {
    this.#wantsRef = true;
    this.#updateWatch();
  }

  /** Lets the process exit while no write is in progress. A write still keeps it alive, as with the sockets of Node.js. */
  unref(): void {
    this.#wantsRef = false;
    this.#updateWatch();
  }

  hasRef(): boolean {
    return this.#wantsRef;
  }

  #onReady(events: number): void {
    if (events & READABLE) this.#read();
    if (events & DISCONNECT) this.#peerEnded();
    if (events & WRITABLE && this.#awaitsWritable) this.#continueWrite();
  }

  #read(): void {
    for (let reads = 0; reads < READS_PER_TURN && this.#reading && !this.#readEnded; reads++) {
      const room = readBuffer.memory.length - readBuffer.offset;
      const result = this.#handle.receive(readBuffer.memory, readBuffer.offset, arrivals.memory);
      if (!arrivals.isEmpty) {
        // Everything is taken first, because the listener may read from other sockets, which use the same memory.
        const chunk = result > 0 ? readBuffer.take(result) : undefined;
        const fds = arrivals.take();
        this.#bytesRead += result;
        this.#receivedFds += fds.length;
        this.#delivering = chunk !== undefined;
        try {
          this.#listener.onDescriptors(fds, arrivals.truncated);
        } finally {
          this.#delivering = false;
          // Code of the user may have thrown. The bytes are not lost with that.
          if (chunk && !this.#closed) this.#listener.onData(chunk);
        }
        // A sender with more descriptors than fit into one message sends single bytes with them, in this package and in the Go package.
        if (result > 1 && result < room) return;
        continue;
      }
      if (result > 0) {
        this.#bytesRead += result;
        this.#listener.onData(readBuffer.take(result));
        // A short read means that no more bytes are there, or that descriptors ended it. In that case the event loop calls again.
        if (result < room) return;
        continue;
      }
      if (result === -EAGAIN) return;
      this.#readEnded = true;
      this.#updateWatch();
      if (result === 0) this.#listener.onEnd();
      else this.#listener.onError(systemError(-result, 'recvmsg'));
    }
  }

  #peerEnded(): void {
    if (this.#closed || this.#reading || this.#readEnded) return;
    // What is left is for somebody to read, who meets the end behind it.
    this.#watchesEnd = false;
    this.#readEnded = this.#handle.hasEnded();
    this.#updateWatch();
    if (this.#readEnded) this.#listener.onEnd();
  }

  #continueWrite(): void {
    this.#awaitsWritable = false;
    const progress = this.#sender.flush();
    if (this.#closed) return;
    if (progress.state === 'done') this.#finishWrite(null);
    else if (progress.state === 'failed') this.#finishWrite(progress.error);
    else this.#await(progress);
  }

  #await(progress: Extract<SendProgress, { state: 'blocked' | 'later' }>): void {
    if (progress.state === 'blocked') this.#awaitsWritable = true;
    else this.#retryTimer = setTimeout(() => this.#continueWrite(), progress.delayMs);
    this.#updateWatch();
  }

  #finishWrite(error: Error | null): void {
    const callback = this.#writeCallback;
    if (!callback) return;
    this.#writeCallback = undefined;
    if (error) this.#failWrites(error);
    this.#updateWatch();
    callback(error);
    if (this.#shutdownCallback && !this.#writeCallback) this.#finishShutdown();
  }

  #finishShutdown(): void {
    const callback = this.#shutdownCallback;
    if (!callback) return;
    this.#shutdownCallback = undefined;
    if (this.#writeError) {
      nextTick(callback, this.#writeError);
      return;
    }
    const result = this.#handle.shutdown();
    nextTick(callback, result < 0 ? systemError(-result, 'shutdown') : null);
    this.#failWrites(systemError(EPIPE, 'sendmsg'), systemError(ECANCELED, 'sendmsg'));
  }

  #failWrites(error: Error, forDescriptors = error): void {
    this.#writeError ??= error;
    this.#sender.abandon();
    this.#sender.descriptors.rejectAll(forDescriptors);
  }

  #updateWatch(): void {
    if (this.#closed) return;
    const read = this.#reading ? READABLE : this.#watchesEnd ? DISCONNECT : 0;
    const events = (this.#readEnded ? 0 : read) | (this.#awaitsWritable ? WRITABLE : 0);
    if (events !== this.#watched) {
      this.#watched = events;
      this.#handle.watch(events);
    }
    const ref = this.#wantsRef || this.#awaitsWritable;
    if (ref !== this.#hasRef) {
      this.#hasRef = ref;
      if (ref) this.#handle.ref();
      else this.#handle.unref();
    }
  }
}
