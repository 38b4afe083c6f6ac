import { AsyncResource } from 'node:async_hooks';
import type { ClientHttp2Session } from 'node:http2';
import { MAX_TIMER_MS } from '../../inbox/clock.js';
import { type Link, LinkedList } from '../../inbox/linked-list.js';
import { clearTimeout, setImmediate, setTimeout } from '../../timers.js';
import { hasFreeStream } from '../internals/http2-session.js';

/** A call that waits in a {@link StreamQueue}. */
export interface Turn {
  /** The call has ended, and does not start. Does nothing if it has started. */
  leave(): void;
}

interface Waiting {
  readonly start: () => void;
  readonly withDescriptors: boolean;
  isWaiting: boolean;
}

/**
 * The calls that wait on one connection because its peer allows no further stream (SETTINGS_MAX_CONCURRENT_STREAMS).
 *
 * A stream that is above the limit waits in nghttp2, with its HEADERS. Descriptors cannot wait with it: the HEADERS have their sequence
 * numbers already. They would leave with the next bytes, ahead of their call, and stay at the server if the call is given up. So a call
 * with descriptors waits here, before it has a stream, and starts when its HEADERS can leave at once.
 *
 * Calls start in the order in which they came. While no call with descriptors waits here, the others do not come here: they go to nghttp2.
 * Those that wait in nghttp2 came before, and go first. While a call with descriptors waits here, all later calls wait behind it.
 */
export class StreamQueue {
  readonly #session: ClientHttp2Session;
  readonly #waiting = new LinkedList<Waiting>();
  #withDescriptors = 0;
  #hasClosed = false;
  #isListening = false;
  #look: NodeJS.Immediate | undefined;
  /** A stream that waits in nghttp2 keeps the process alive, and so does a call that waits here. */
  #keepAlive: NodeJS.Timeout | undefined;

  constructor(session: ClientHttp2Session) {
    this.#session = session;
  }

  /** Whether a call with descriptors waits, so that the others have to enter, too. */
  get isNeeded(): boolean {
    return this.#withDescriptors > 0;
  }

  /**
   * Calls `start` when the call may start its stream. If that is now, it returns undefined. It also calls `start` when no call can start on
   * this connection any more, and grpc-js knows that. Then grpc-js makes another attempt of the call, or ends it. `start` must not throw.
   */
  enter(start: () => void, withDescriptors: boolean): Turn | undefined {
    if (this.#waiting.size === 0 && (!withDescriptors || this.#isOver || hasFreeStream(this.#session))) {
      start();
      return undefined;
    }
    this.#listen();
    const waiting: Waiting = {
      start: AsyncResource.bind(start, 'GRPCFD_TURN'),
      withDescriptors,
      isWaiting: true,
    };
    const link = this.#waiting.append(waiting);
    if (withDescriptors) this.#withDescriptors++;
    this.#lookInNextTurn();
    return { leave: () => this.#leave(link) };
  }

  /** No stream can start any more, and grpc-js knows it: from `closed`, or where an error has destroyed the session, from 'close'. */
  get #isOver(): boolean {
    return this.#hasClosed || this.#session.closed;
  }

  /** grpc-js has its listeners by now: no stream could be open before, and a call waits only while some are, or while none is allowed. */
  #listen(): void {
    if (this.#isListening) return;
    this.#isListening = true;
    this.#session.once('close', () => {
      this.#hasClosed = true;
      this.#startNext();
    });
  }

  #startNext(): void {
    for (let first = this.#waiting.first; first !== undefined; first = this.#waiting.first) {
      if (this.#withDescriptors > 0 && !this.#isOver && !hasFreeStream(this.#session)) break;
      this.#remove(first);
      first.value.start();
    }
    if (this.#waiting.size > 0) this.#lookInNextTurn();
  }

  /**
   * Looks again after the event loop has waited for events. Nothing can change while it waits. An immediate without a reference does not
   * keep it from waiting.
   */
  #lookInNextTurn(): void {
    this.#keepAlive ??= setTimeout(() => {}, MAX_TIMER_MS);
    this.#look ??= setImmediate(() => {
      this.#look = undefined;
      this.#startNext();
    }).unref();
  }

  #leave(link: Link<Waiting>): void {
    if (!link.value.isWaiting) return;
    this.#remove(link);
    // The others go to nghttp2 in the next turn. Perhaps nothing else makes the event loop turn.
    if (this.#withDescriptors === 0 && this.#waiting.size > 0) this.#look?.ref();
  }

  #remove(link: Link<Waiting>): void {
    this.#waiting.remove(link);
    link.value.isWaiting = false;
    if (link.value.withDescriptors) this.#withDescriptors--;
    if (this.#waiting.size > 0) return;
    clearTimeout(this.#keepAlive);
    this.#keepAlive = undefined;
  }
}
