import { constants } from 'node:os';
import { Bridge, native, systemError } from '../native/binding.js';
import { BRIDGE_EVENT, type Bridge as BridgeHandle, OUTGOING } from '../native/bridge-types.js';
import { clearTimeout, setTimeout } from '../timers.js';
import { arrivals } from './arrivals.js';
import type { DescriptorOwner, OutgoingDescriptor } from './outgoing-descriptors.js';
import { isTransient, Sender } from './sender.js';
import { tableSize } from './table-size.js';
import { shareOfUnread, UnreadDescriptors } from './unread-descriptors.js';

const { EAGAIN, ECANCELED, EPIPE } = constants.errno;

/**
 * How long what came before a failed write is waited for, if Node does not read it. Node stops reading while it writes, for
 * milliseconds at the most; a user who reads slowly gets the rest in this time, or loses it with the connection.
 */
const READ_TO_END_MS = 1_000;

/** How long a closed connection waits for a peer that reads nothing of what was written before. */
const LINGER_MS = 10_000;

/**
 * What Node may write while a message waits to be tried again. Node does not read while it cannot write: with this, two peers that
 * both wait for the other to read its descriptors go on reading, and neither waits for long.
 */
const LONGEST_BACKLOG_BYTES = 16 * 1024 * 1024;

/** Of the table: what waits for peers that do not read. */
export const MOST_UNREAD = 1 / 4;

/** Of the table: the descriptors that wait for one such peer, if no other peer has any. Two ends that write much at a time wait for each other for a moment. */
const MOST_UNREAD_OF_ONE = 1 / 2;

/** Of the table: what connections have open, with all that waits to be sent and to be closed. */
const MOST_OF_TABLE = 7 / 8;

/** What one write to the peer is made of, at the most, while descriptors wait. One for all: it is copied where it has to last. */
const chunk = Buffer.allocUnsafeSlow(64 * 1024);

export interface BridgedStreamListener {
  /**
   * Descriptors arrived; they are the listener's to close, and guarded: see `NativeBinding.guard`. Called before Node gets the
   * bytes that they came with. `truncated`: the kernel dropped some, and which is not known (MSG_CTRUNC); `fds` may be empty
   * then. It must not run code of the user's.
   */
  onDescriptors(fds: number[], truncated: boolean): void;
  /** Nothing can be sent any more, and what came has been read. The listener has to destroy Node's socket, unless users still read. */
  onFailed(error: Error): void;
  /** Node has not been reading what came for a while, though no write of its own was under way. */
  onStalled(): void;
  /** Node closes its socket. Nothing else is called after it. */
  onClosed(): void;
}

/**
 * A connection that carries descriptors, under a stock net.Socket of Node: see native/bridge.h. What Node writes goes to the socket itself,
 * or through the addon. What waits with descriptors, or for the kernel's memory, goes through here.
 *
 * | state | what Node writes | what comes |
 * | --- | --- | --- |
 * | open | goes to the socket itself, or is forwarded by the addon | goes to Node |
 * | open, descriptors queued | is forwarded here, descriptors with its first bytes | goes to Node |
 * | failed: a write of ours had a fatal outcome | is thrown away | goes to Node, to its end; then `onFailed` |
 * | closing: Node closes its handle | what is left is forwarded, while the peer takes some each {@link LINGER_MS} | is not read |
 * | closed | | |
 */
export class BridgedStream {
  readonly #listener: BridgedStreamListener;
  readonly #bridge: BridgeHandle;
  readonly #sender: Sender;
  /** On which what comes is closed. */
  readonly #account: number;
  readonly #unread: UnreadDescriptors;
  #state: 'open' | 'failed' | 'closing' | 'closed' = 'open';
  /** Why nothing can be sent any more. */
  #sendError: Error | undefined;
  readonly #bytesOfNode: () => number;
  /** When Node closed its socket. */
  #lastBytesDirect = 0;
  #receivedFds = 0;
  #peerInode: string | undefined;
  /** Runs while a message is not tried again yet. */
  #retryTimer: NodeJS.Timeout | undefined;
  /** What Node wrote meanwhile. */
  #backlog: Uint8Array[] = [];
  #backlogBytes = 0;
  /** The end of the state 'failed' or 'closing'. */
  #deadline: NodeJS.Timeout | undefined;
  /** See {@link afterAnswer}. */
  #onAnswered: (() => void) | undefined;
  /** Node's part of a close that waits until everything has been sent. */
  #closeNode: (() => void) | undefined;

  /**
   * Takes over `socket`, a connected unix stream socket, and `far`, an end of a socketpair whose other end, `near`, a net.Socket
   * has. When this throws, both are still the caller's. `bytesOfNode` tells how many bytes Node has written.
   */
  constructor(
    socket: number,
    far: number,
    near: number,
    bytesOfNode: () => number,
    listener: BridgedStreamListener,
  ) {
    this.#bytesOfNode = bytesOfNode;
    this.#listener = listener;
    this.#bridge = new Bridge(Int32Array.of(socket, far, near), arrivals.memory, (event, value) =>
      this.#onEvent(event, value),
    );
    this.#account = this.#bridge.account();
    this.#unread = new UnreadDescriptors({
      unread: () => this.#bridge.unread(),
      bytesWritten: () => this.bytesWritten,
    });
    this.#sender = new Sender(this.#bridge, this.#unread);
    open.add(this);
  }

  /** Node has not closed its socket yet. */
  get isOpen(): boolean {
    return this.#state === 'open' || this.#state === 'failed';
  }

  get bytesRead(): number {
    return this.#bridge.bytesRead();
  }

  get bytesWritten(): number {
    return this.#bridge.bytesForwarded() + this.#bytesDirect();
  }

  get receivedFds(): number {
    return this.#receivedFds;
  }

  get sentFds(): number {
    return this.#sender.descriptors.sent;
  }

  /** Descriptors that came in, and wait for a thread that closes them. */
  get closingFds(): number {
    return native.waitingCloses(this.#account);
  }

  /** The same, if none has been closed for a second. 0 otherwise. */
  get stuckCloses(): number {
    return native.stuckCloses(this.#account);
  }

  /** Whether what comes is read. Otherwise it stays with the kernel, and the peer has to wait. At first it is read. */
  set reads(wanted: boolean) {
    if (this.isOpen) this.#bridge.setReading(wanted);
  }

  /** Queued, and not yet taken by the kernel. */
  get pendingFds(): number {
    return this.#sender.descriptors.length;
  }

  /**
   * Has a descriptor ride on the next bytes that Node writes, or on earlier ones that still wait. n bytes carry at most 64 n
   * descriptors; what is left rides on the next write. Borrows `descriptor.fd` until it is settled.
   */
  queueDescriptor(descriptor: OutgoingDescriptor): void {
    this.queueDescriptors([descriptor.fd], descriptor);
  }

  /** The same for several of one owner. */
  queueDescriptors(fds: readonly number[], owner: DescriptorOwner): void {
    for (const fd of fds) this.#sender.descriptors.push(fd, owner);
    const error = this.#whySendingEnded();
    if (error !== undefined) this.#sender.descriptors.rejectAll(error);
    else if (this.pendingFds > 0 && this.#retryTimer === undefined) this.#bridge.setOutgoing(OUTGOING.SCRIPT);
  }

  /**
   * Calls `run` when Node has handled the bytes that it is being given now, and what it wrote in answer has been sent. It calls `run` at
   * once if Node is being given none. `run` is not called if the stream closes before.
   */
  afterAnswer(run: () => void): void {
    if (!this.isOpen) return;
    if (this.#bridge.tellAnswered()) this.#onAnswered = run;
    else run();
  }

  /**
   * Sends `bytes` behind what Node has written, if that ends with a whole write of Node's: in plaintext, with a frame of HTTP/2.
   * False: it does not, or Node has written nothing, and nothing is sent.
   */
  insert(bytes: Uint8Array): boolean {
    // A server's first write is its SETTINGS, which nothing may come before.
    return this.#state === 'open' && this.#bytesOfNode() > 0 && this.#bridge.insert(bytes);
  }

  /** Everything that Node has written is with the peer, which has read it. */
  get hasPeerReadAll(): boolean {
    return this.#sender.isIdle && this.#backlogBytes === 0 && this.#bridge.unread() === 0;
  }

  /** `<st_dev>/<st_ino>` of the socket at the other end; undefined where the kernel does not tell. */
  get peerInode(): string | undefined {
    this.#peerInode ??= this.#bridge.peerInode();
    return this.#peerInode;
  }

  /**
   * Too many descriptors wait to be sent on this connection: more than may be on their way to a peer, and so many that others would soon
   * find the table full. `inUse` is what the connections have open otherwise. Either the peers of several do not read what was sent before,
   * and what waits for them takes up a quarter of the table, or half of it for one alone; a peer that is only slow may have any number up to that. Or little is left of
   * the table, for whatever reason.
   */
  isHeldUp(inUse: number): boolean {
    const size = tableSize();
    if (this.pendingFds <= shareOfUnread()) return false;
    let pending = 0;
    let unread = 0;
    for (const stream of open) {
      pending += stream.pendingFds;
      if (stream.#waitsForPeer) unread += stream.pendingFds;
    }
    if (inUse + pending + native.queuedCloses() > size * MOST_OF_TABLE) return true;
    return (
      this.#waitsForPeer && unread > size * (unread > this.pendingFds ? MOST_UNREAD : MOST_UNREAD_OF_ONE)
    );
  }

  /** The kernel takes no more bytes, or too many descriptors were sent that the peer has not read. */
  get #waitsForPeer(): boolean {
    return this.#retryTimer !== undefined || (this.#state !== 'closed' && this.#bridge.isBlocked());
  }

  /** Node is about to close its handle, which is done by `closeNode`: now, or when what Node wrote has been sent. */
  close(closeNode: () => void): void {
    if (!this.isOpen) {
      closeNode();
      return;
    }
    this.#lastBytesDirect = this.#bytesDirect();
    const left = this.#bridge.detach(!this.#sender.isIdle);
    this.#state = 'closing';
    try {
      this.#listener.onClosed();
    } finally {
      this.#closeAfterSending(left, closeNode);
    }
  }

  /** Sends what the kernel takes now: the process is about to exit. */
  flush(): void {
    this.#bridge.forward();
  }

  /** Those that Node wrote to the socket itself. */
  #bytesDirect(): number {
    return this.isOpen ? this.#bytesOfNode() - this.#bridge.bytesInPair() : this.#lastBytesDirect;
  }

  #onEvent(event: number, value: number): void {
    switch (event) {
      case BRIDGE_EVENT.ARRIVED:
        this.#arrived();
        break;
      case BRIDGE_EVENT.OUTGOING:
        this.#pump();
        break;
      case BRIDGE_EVENT.SEND_FAILED:
        if (isTransient(value)) this.#retrySending();
        else this.#failSending(systemError(value, 'sendmsg'));
        break;
      case BRIDGE_EVENT.FLUSHED:
        this.#flushed();
        break;
      case BRIDGE_EVENT.HUNG_UP:
        this.#hungUp();
        break;
      case BRIDGE_EVENT.DRAINED:
        this.#fail();
        break;
      case BRIDGE_EVENT.STALLED:
        if (this.isOpen) this.#listener.onStalled();
        break;
      case BRIDGE_EVENT.ANSWERED:
        if (this.isOpen) this.#onAnswered?.();
        this.#onAnswered = undefined;
        break;
    }
  }

  #closeAfterSending(left: number, closeNode: () => void): void {
    if (this.#sendError !== undefined || left === 0) {
      closeNode();
      this.#finish();
      return;
    }
    this.#linger();
    if (left === 1) {
      // Node has ended its side, and waits until all has been sent: its end is not over before.
      this.#closeNode = closeNode;
      this.#bridge.ref();
    } else {
      closeNode();
    }
    this.#pump();
  }

  #arrived(): void {
    const { truncated } = arrivals;
    const fds = arrivals.take();
    this.#receivedFds += fds.length;
    this.#listener.onDescriptors(fds, truncated);
  }

  /** Forwards what Node wrote, with the descriptors that wait, and leaves the rest to the addon. */
  #pump(): void {
    if (this.#state === 'closed' || this.#sendError !== undefined) return;
    if (this.#retryTimer !== undefined) {
      this.#stockpile();
      return;
    }
    for (;;) {
      if (this.#sender.isIdle && !this.#next()) return;
      const progress = this.#sender.flush();
      if (this.#hasClosed()) return;
      if (progress.state === 'done') continue;
      this.#sender.keep();
      if (progress.state === 'failed') this.#failSending(progress.error);
      else if (progress.state === 'blocked') this.#bridge.setBlocked();
      else this.#retryIn(progress.delayMs);
      return;
    }
  }

  /** Begins a write with what Node wrote. False: there is nothing to be done here. */
  #next(): boolean {
    if (this.#backlogBytes > 0) {
      this.#sender.begin(this.#takeBacklog());
      return true;
    }
    if (this.pendingFds === 0) {
      this.#bridge.setOutgoing(OUTGOING.NATIVE);
      this.#bridge.forward();
      return false;
    }
    const taken = this.#bridge.take(chunk);
    if (taken > 0) {
      this.#sender.begin([chunk.subarray(0, taken)]);
      return true;
    }
    if (taken === -EAGAIN) return false;
    // What waits for bytes will never travel.
    this.#sender.descriptors.rejectAll(systemError(ECANCELED, 'sendmsg'));
    this.#bridge.endWriting();
    return false;
  }

  /** The kernel had no memory for what the addon sent. */
  #retrySending(): void {
    this.#bridge.setOutgoing(OUTGOING.SCRIPT);
    const taken = this.#bridge.take(chunk);
    if (taken > 0) this.#sender.begin([chunk.subarray(0, taken)]);
    this.#pump();
  }

  #retryIn(delayMs: number): void {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined;
      if (this.#hasClosed()) return;
      this.#bridge.setOutgoing(OUTGOING.SCRIPT);
      this.#pump();
    }, delayMs);
    this.#stockpile();
  }

  /** Keeps what Node writes while a message waits to be tried again. */
  #stockpile(): void {
    for (;;) {
      const taken = this.#backlogBytes < LONGEST_BACKLOG_BYTES ? this.#bridge.take(chunk) : 0;
      if (taken === -EAGAIN) return;
      if (taken === 0) {
        // Nothing more for now: there is too much, or it has ended, and what is here has to be sent before.
        this.#bridge.setOutgoing(OUTGOING.HELD);
        return;
      }
      this.#backlog.push(Uint8Array.prototype.slice.call(chunk, 0, taken));
      this.#backlogBytes += taken;
    }
  }

  #takeBacklog(): Uint8Array[] {
    const backlog = this.#backlog;
    this.#backlog = [];
    this.#backlogBytes = 0;
    return backlog;
  }

  #hasClosed(): boolean {
    return this.#state === 'closed';
  }

  /** A write failed for good. What the peer had sent before still goes to Node, before the connection fails. */
  #failSending(error: Error): void {
    this.#stopSending(error);
    if (this.#state !== 'failed' || this.#deadline !== undefined) return;
    this.#bridge.readToEnd();
    this.#deadline = setTimeout(() => this.#fail(), READ_TO_END_MS).unref();
  }

  /** Nobody was reading. If Node does, it closes the connection at its end; a write fails. */
  #hungUp(): void {
    const error = systemError(EPIPE, 'sendmsg');
    if (this.#sender.isIdle) this.#stopSending(error);
    else this.#failSending(error);
  }

  /** Sending is over. */
  #stopSending(error: Error): void {
    if (this.#sendError !== undefined || this.#hasClosed()) return;
    this.#sendError = error;
    this.#sender.abandon();
    this.#sender.descriptors.rejectAll(error);
    if (this.#state === 'closing') {
      this.#finish();
      return;
    }
    this.#state = 'failed';
    // Node stops reading while it writes: its writes have to succeed.
    this.#bridge.setOutgoing(OUTGOING.DISCARD);
  }

  /** Goes on sending as long as the peer reads. */
  #linger(): void {
    const { bytesWritten } = this;
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => {
      if (this.bytesWritten > bytesWritten) this.#linger();
      else this.#finish();
    }, LINGER_MS).unref();
  }

  #fail(): void {
    clearTimeout(this.#deadline);
    if (this.isOpen && this.#sendError !== undefined) this.#listener.onFailed(this.#sendError);
  }

  #flushed(): void {
    if (this.#state === 'closing') this.#finish();
  }

  #finish(): void {
    if (this.#hasClosed()) return;
    this.#state = 'closed';
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#deadline);
    open.delete(this);
    this.#bridge.close();
    this.#closeNode?.();
    this.#closeNode = undefined;
    this.#sender.abandon();
    if (this.pendingFds > 0) this.#sender.descriptors.rejectAll(systemError(ECANCELED, 'sendmsg'));
  }

  #whySendingEnded(): Error | undefined {
    if (this.#hasClosed()) this.#sendError ??= systemError(ECANCELED, 'sendmsg');
    return this.#sendError;
  }
}

/**
 * What a stock socket wrote is with the kernel when its write returns, and survives an exit; and the process does not end before
 * its writes. Here it may still be in the pair. Where the kernel does not take it all, the process stays: see UpdateWatch in
 * native/bridge.cc. What is written in later listeners of 'exit' is forwarded by Environment::OnExit in native/environment.cc.
 */
const open = new Set<BridgedStream>();
function flushAll(): void {
  for (const stream of open) stream.flush();
}
process.on('beforeExit', flushAll);
process.on('exit', flushAll);
