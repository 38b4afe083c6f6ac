import type { Attempt, Call } from './call.js';
import { Copy, type Sending } from './descriptor.js';
import { type Expected, fails, gives, WAITS } from './expected.js';
import type { Pipe } from './pipe.js';
import type { Wait } from './wait.js';

/**
 * What an end does with an older descriptor of an inode when a newer one comes.
 *
 * - keeps: its peer has a name for each of them
 * - may close: the peer has names for inodes only
 * - closes: the same, and this is known
 */
export type Older = 'keeps' | 'may close' | 'closes';

/** - narrow: a server of this package that allows few streams */
export type ServerName = 'ours' | 'narrow' | 'Go-like';

export type Place = 'client' | ServerName;

/** One end of a connection, with what came in there. */
export class End {
  /** In the order in which they came. */
  readonly copies: Copy[] = [];
  readonly waits = new Set<Wait>();
  #batches = 0;

  constructor(
    readonly place: Place,
    public older: Older,
  ) {}

  /** Descriptors come. Everybody who waits for one of them gets a duplicate. */
  arrive(sendings: readonly Sending[], time: number, call?: Call): Copy[] {
    this.#batches++;
    return sendings.map((sending) => {
      const copy = new Copy(sending, this, call, time, this.#batches);
      if (!sending.refused) {
        this.#replaceOlder(sending.pipe);
        for (const wait of [...this.waits]) if (wait.pipe === sending.pipe) wait.resolve(copy);
      }
      this.copies.push(copy);
      return copy;
    });
  }

  /** Descriptors come that no call claims. */
  arriveUnclaimed(sendings: readonly Sending[], time: number): void {
    for (const copy of this.arrive(sendings, time)) copy.sending.unclaimed.push(copy);
  }

  /**
   * By URL, receiving copies: the newest of its call first, then of those that no call claims. A URL that only matches descriptors
   * that were handed over fails.
   */
  byUrl(pipe: Pipe, attempt?: Attempt): Expected {
    const own = attempt?.claims.findLast((copy) => copy.sending.pipe === pipe && copy.isHere);
    if (own !== undefined) return gives(own);
    const all = this.copies.filter(({ sending, state }) => sending.pipe === pipe && state !== 'refused');
    const idle = all.filter((copy) => copy.attempt === undefined && copy.isHere);
    const newest = idle.findLast(({ state }) => state === 'held');
    if (newest !== undefined) {
      const last = idle.filter((copy) => idle.findLast(({ batch }) => batch === copy.batch) === copy);
      return gives(...last.filter(({ time }) => time >= newest.time));
    }
    const { fails: reasons, mayWait } = this.#absent(all);
    return { gives: idle, fails: reasons, mayWait: mayWait || idle.length > 0 };
  }

  /** The connection closes. */
  close(): void {
    for (const copy of this.copies) copy.leaves('closed');
  }

  #absent(all: readonly Copy[]): Expected {
    if (!all.some(({ state }) => state === 'moved')) return WAITS;
    // Where others of that inode came, and were closed or claimed, the rules leave open which of the two it is.
    return all.every(({ state }) => state === 'moved')
      ? fails('ALREADY_RECEIVED')
      : { ...fails('ALREADY_RECEIVED'), mayWait: true };
  }

  #replaceOlder(pipe: Pipe): void {
    if (this.older === 'keeps') return;
    for (const copy of this.copies) {
      if (copy.sending.pipe !== pipe || copy.attempt !== undefined) continue;
      if (this.older === 'closes') copy.leaves('closed');
      else copy.doubt();
    }
  }
}

/** What a receive of that copy by its exact name comes to. */
export function byRef(copy: Copy): Expected {
  switch (copy.state) {
    case 'held':
      return gives(copy);
    case 'doubtful':
      return { gives: [copy], fails: ['NOT_FOUND'], mayWait: false };
    case 'moved':
      return fails('ALREADY_RECEIVED');
    case 'over limit':
      return fails('TOO_MANY_DESCRIPTORS');
    case 'closed':
    case 'refused':
      return fails('NOT_FOUND');
  }
}
