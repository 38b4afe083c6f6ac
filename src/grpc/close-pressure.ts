import { manyWaitToBeClosed, shareOfCloses, tooManyWaitToBeClosed } from '../socket/close-queue.js';
import { clearTimeout, setTimeout } from '../timers.js';

/** The part of a connection's stream that {@link ClosePressure} uses. */
export interface ClosingStream {
  /** Descriptors that came in, and wait to be closed. */
  readonly closingFds: number;
  /** The same, if none has been closed for a second. 0 otherwise. */
  readonly stuckCloses: number;
  /** Whether what comes is read. */
  set reads(wanted: boolean);
}

/** A thread takes 10 us for most closes, so a full message has been closed by then. */
const LOOK_AGAIN_MS = 2;

/**
 * A peer may send what takes long to close, faster than it can be closed. All that waits takes up room in the table. So nothing more is read
 * of a connection while too much of it waits: the peer cannot go on sending, and nobody else notices.
 */
export class ClosePressure {
  readonly #stream: ClosingStream;
  readonly #onStuck: (waiting: number) => void;
  #timer: NodeJS.Timeout | undefined;

  /** `onStuck` is called when too many wait, and none has been closed for a second. */
  constructor(stream: ClosingStream, onStuck: (waiting: number) => void) {
    this.#stream = stream;
    this.#onStuck = onStuck;
  }

  /** Call this when descriptors have come. */
  look(): void {
    if (this.#timer !== undefined || !this.#isTooMuch()) return;
    this.#stream.reads = false;
    this.#lookAgain();
  }

  /** The connection has closed. */
  end(): void {
    clearTimeout(this.#timer);
  }

  /**
   * While all connections together have many, what any of them brings has to be closed first. It is not waited for if that hangs, unless
   * there are so many that nobody may bring more.
   */
  #isTooMuch(): boolean {
    const { closingFds } = this.#stream;
    if (closingFds > shareOfCloses() || tooManyWaitToBeClosed()) return true;
    return closingFds > 0 && manyWaitToBeClosed() && this.#stream.stuckCloses === 0;
  }

  #lookAgain(): void {
    const { stuckCloses } = this.#stream;
    if (stuckCloses > shareOfCloses()) {
      this.#onStuck(stuckCloses);
      return;
    }
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#isTooMuch()) this.#lookAgain();
      else this.#stream.reads = true;
    }, LOOK_AGAIN_MS).unref();
  }
}
