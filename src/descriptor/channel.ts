import { constants as os } from 'node:os';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';
import { READABLE, WRITABLE } from '../native/bridge-types.js';
import { WAY } from '../native/file-types.js';
import { unwatch, watch } from '../native/ready.js';
import { closedByOwner, closeWhenCollected } from './close-when-collected.js';

const { EAGAIN, EIO, EOPNOTSUPP } = os.errno;

/** Transfers in a row without a turn of the event loop: a peer that is always ready must not keep it from everything else. */
const MAX_IN_ROW = 16;

/** Bytes that a stream reads at most at a time. */
const CHUNK = 64 * 1024;

/** All channels of the thread read into it, and copy what came: a channel that waits has no memory of its own. */
let chunkMemory: Buffer | undefined;

export interface ChannelParts {
  readonly fd: number;
  /** One of {@link WAY}. */
  readonly way: number;
  /** Whether the channel closes `fd` at its end. */
  readonly isOwner: boolean;
  readonly isTerminal: boolean;
  /** Whether nothing received may be an empty datagram, and not the end. */
  readonly isDatagram: boolean;
  /** Opens a file anew that cannot be read or written without waiting otherwise. Throws where it cannot. */
  readonly openAnew: () => number;
  /** Whoever closes `fd`. */
  readonly owner: object;
}

type Settle<Result> = (error: Error | undefined, result?: Result) => void;

interface Transfer {
  /** Returns a negative errno, or calls back and returns 0. */
  attempt(): number;
  fail(error: Error): void;
}

/** Ends a transfer that waits. Its callback is not called then. */
export type Withdraw = () => void;

const nothingToWithdraw: Withdraw = () => {};

/**
 * Reads and writes a file without positions: a pipe, a socket, a terminal. What cannot go on waits in epoll, and never in a thread. No
 * flag of the open file is changed.
 */
export class Channel {
  #fd: number;
  #way: number;
  /** Whether the channel closes its descriptor. */
  #isOwner: boolean;
  readonly #isTerminal: boolean;
  readonly #isDatagram: boolean;
  #openAnew: () => number;
  /** Not collected, which would close its descriptor, while the channel is in use. */
  readonly owner: object;
  readonly #reads: Transfer[] = [];
  readonly #writes: Transfer[] = [];
  #inRow = 0;
  #keepsAlive = true;
  #ended: Error | undefined;

  constructor({ fd, way, isOwner, isTerminal, isDatagram, openAnew, owner }: ChannelParts) {
    this.#fd = fd;
    this.#way = way;
    this.#isOwner = isOwner;
    this.#isTerminal = isTerminal;
    this.#isDatagram = isDatagram;
    this.#openAnew = openAnew;
    this.owner = owner;
    if (isOwner) closeWhenCollected(this, fd);
  }

  /** Whether each transfer asks not to wait, which some files cannot do. */
  get #asksNotToWait(): boolean {
    return this.#way === WAY.NO_WAIT || this.#way === WAY.PIPE;
  }

  /** Lets the open file be made non-blocking, for all who have it, where there is no other way. */
  useExclusively(): void {
    if (!this.#asksNotToWait) return;
    this.#openAnew = () => {
      native.setNonBlocking(this.#fd, true);
      return this.#fd;
    };
  }

  /** Whether the process stays alive while a transfer waits. At first it does. */
  keepAlive(wanted: boolean): void {
    this.#keepsAlive = wanted;
    this.#watch();
  }

  /** Reads into `into`: 0 at the end. */
  read(into: Uint8Array, settle: Settle<number>): Withdraw {
    return this.#submit('read', this.#reads, settle, () => native.readNow(this.#fd, this.#way, into), into);
  }

  /** Reads up to `length` bytes into a buffer of their own: an empty one at the end. */
  readChunk(length: number, settle: Settle<Buffer>): Withdraw {
    const wanted = Math.min(length, CHUNK);
    const attempt = () => {
      chunkMemory ??= Buffer.allocUnsafeSlow(CHUNK);
      const memory = chunkMemory.subarray(0, wanted);
      let done = native.readNow(this.#fd, this.#way, memory);
      // Anybody may send an empty datagram, which must not end a stream.
      while (done === 0 && this.#isDatagram && !native.receivingEnded(this.#fd)) {
        done = this.#inRow++ < MAX_IN_ROW ? native.readNow(this.#fd, this.#way, memory) : -EAGAIN;
      }
      return done;
    };
    const copy: Settle<number> = (error, bytes = 0) => {
      if (error !== undefined) settle(error);
      else settle(undefined, Buffer.from(chunkMemory?.subarray(0, bytes) ?? []));
    };
    return this.#submit('read', this.#reads, copy, attempt);
  }

  /** Writes as much of `bytes` as the file takes at a time. */
  write(bytes: Uint8Array, settle: Settle<number>): Withdraw {
    const run = () => native.writeNow(this.#fd, this.#way, bytes);
    return this.#submit('write', this.#writes, settle, run, bytes);
  }

  /** A socket tells its peer that no more bytes come. Others have no such thing. */
  endWriting(): void {
    if (this.#ended === undefined && this.#way === WAY.SOCKET) native.shutdownWriting(this.#fd);
  }

  /** Fails all transfers, and those to come, with `error`. Idempotent. The descriptor can be closed then. */
  end(error: Error): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    unwatch(this.#fd);
    if (this.#isOwner) {
      closedByOwner(this);
      native.close(this.#fd);
    }
    for (const transfer of [...this.#reads.splice(0), ...this.#writes.splice(0)]) transfer.fail(error);
  }

  /** @param memory of the user, who may take it away meanwhile */
  #submit(
    syscall: 'read' | 'write',
    queue: Transfer[],
    settle: Settle<number>,
    run: () => number,
    memory?: Uint8Array,
  ): Withdraw {
    const length = memory?.length;
    const transfer: Transfer = {
      attempt: () => {
        if (memory?.length !== length) {
          settle(memoryGone());
          return 0;
        }
        let done = run();
        if (done === -EOPNOTSUPP && this.#asksNotToWait) {
          try {
            this.#goOnAnew();
          } catch (error) {
            settle(error as Error);
            return 0;
          }
          done = run();
        }
        if (done === -EAGAIN) return done;
        if (done >= 0) settle(undefined, done);
        // The other end of a pseudoterminal is closed.
        else if (done === -EIO && this.#isTerminal && syscall === 'read') settle(undefined, 0);
        else settle(native.systemError(-done, syscall));
        return 0;
      },
      fail: settle,
    };
    if (this.#ended !== undefined) {
      settle(this.#ended);
      return nothingToWithdraw;
    }
    if (queue.length === 0 && this.#inRow++ < MAX_IN_ROW && transfer.attempt() === 0) {
      return nothingToWithdraw;
    }
    queue.push(transfer);
    this.#watch();
    return () => {
      const index = queue.indexOf(transfer);
      if (index < 0) return;
      queue.splice(index, 1);
      this.#watch();
    };
  }

  #goOnAnew(): void {
    const anew = this.#openAnew();
    this.#way = WAY.OWN;
    if (anew === this.#fd) return;
    unwatch(this.#fd);
    this.#fd = anew;
    this.#isOwner = true;
    closeWhenCollected(this, anew);
  }

  readonly #onReady = (events: number): void => {
    this.#inRow = 0;
    // What a callee throws is for the process to handle, which may go on.
    try {
      if ((events & READABLE) !== 0) this.#run(this.#reads);
    } finally {
      try {
        if ((events & WRITABLE) !== 0) this.#run(this.#writes);
      } finally {
        this.#watch();
      }
    }
  };

  /** The first one that has to wait stops those behind it. */
  #run(queue: Transfer[]): void {
    const [transfer] = queue;
    if (transfer === undefined) return;
    queue.shift();
    // Not in the queue while it calls back: the callee may submit the next one, or end the channel.
    if (transfer.attempt() !== 0) queue.unshift(transfer);
  }

  #watch(): void {
    if (this.#ended !== undefined) return;
    const events = (this.#reads.length > 0 ? READABLE : 0) | (this.#writes.length > 0 ? WRITABLE : 0);
    if (events === 0) {
      unwatch(this.#fd);
      return;
    }
    try {
      watch(this.#fd, events, this.#onReady, this.#keepsAlive);
    } catch (error) {
      // The table of descriptors is full, for one. The next transfer tries again.
      for (const transfer of [...this.#reads.splice(0), ...this.#writes.splice(0)])
        transfer.fail(error as Error);
    }
  }
}

function memoryGone(): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_INVALID_ARGUMENT',
    'the memory of the buffer was closed or transferred while a read or write of it was waiting',
  );
}
