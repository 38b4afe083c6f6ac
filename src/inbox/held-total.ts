/** What holds descriptors for one account: a connection, or all connections of the account. */
export interface HeldGroup {
  /** How many it holds, idle or claimed. */
  readonly size: number;
  /** How many of these nobody needs: they were received, and the calls that did so have ended. */
  readonly done: number;
  /** Closes so many of them: those that nobody needs first, then idle ones, the least recently used ones before others. */
  evictForTotal(count: number): void;
  /** Closes so many of those that nobody needs, the least recently used ones first. There are that many. */
  letGo(count: number): void;
}

/** Below it, the default limit is not looked at, which depends on the descriptor table. */
const SMALLEST_DEFAULT = 256;

/**
 * Connections may have three eighths of the table, and what waits to be closed a sixteenth. The rest is for messages that come in, for what is
 * sent, and for files of the process.
 */
const SHARE_OF_TABLE = 3 / 8;

let heldByAll = 0;
let doneByAll = 0;

/** Those that hold anything, or may. */
const totals = new Set<HeldTotal>();

/** So many more, or fewer, descriptors are held that nobody needs. */
export function changeDone(count: number): void {
  doneByAll += count;
}

/**
 * The descriptor table is about full. Closes up to so many descriptors that nobody needs, of all connections of this thread: always of the
 * account that has the most of them. Returns how many. Where there are none, it looks at one number.
 */
export function makeRoom(count: number): number {
  const before = doneByAll;
  for (let left = Math.min(count, doneByAll); left > 0; ) {
    let most: HeldGroup | undefined;
    let second = 0;
    for (const total of totals) {
      for (const group of total.groups) {
        if (group.done > (most?.done ?? 0)) {
          second = most?.done ?? 0;
          most = group;
        } else if (group.done > second) second = group.done;
      }
    }
    if (most === undefined) break;
    const portion = Math.max(1, Math.min(left, most.done - second));
    most.letGo(portion);
    left -= portion;
  }
  return before - doneByAll;
}

/** What all connections of this thread hold now. */
export function heldFds(): number {
  return heldByAll;
}

/**
 * What all connections of one credentials object hold together. When it is more than the limit, the account that holds the most loses: so
 * what an account needs is safe as long as it holds less than another one.
 */
export class HeldTotal {
  readonly #groups = new Set<HeldGroup>();
  readonly #limit: number | undefined;
  readonly #tableSize: () => number;
  #held = 0;

  /** `limit` is a positive integer or Infinity. Without it, it is three eighths of the descriptor table, and at least 256. */
  constructor(limit: number | undefined, tableSize: () => number) {
    this.#limit = limit;
    this.#tableSize = tableSize;
  }

  get held(): number {
    return this.#held;
  }

  get limit(): number {
    return this.#limit ?? Math.max(SMALLEST_DEFAULT, Math.floor(this.#tableSize() * SHARE_OF_TABLE));
  }

  /** The accounts. */
  get groups(): Iterable<HeldGroup> {
    return this.#groups;
  }

  add(group: HeldGroup): void {
    this.#groups.add(group);
    totals.add(this);
  }

  remove(group: HeldGroup): void {
    this.#groups.delete(group);
    if (this.#groups.size === 0) totals.delete(this);
  }

  /** A group holds so many more, or fewer. */
  changed(count: number): void {
    this.#held += count;
    heldByAll += count;
  }

  /** Call this when `arriving` has got more. Of several that hold the most, it is the one that loses. */
  evict(arriving: HeldGroup): void {
    if (this.#held <= (this.#limit ?? SMALLEST_DEFAULT)) return;
    const { limit } = this;
    while (this.#held > limit) {
      const { most, second } = this.#largest(arriving);
      const before = this.#held;
      // One more than the next one has is enough to make both equal; then it is looked at again.
      most.evictForTotal(Math.max(1, Math.min(this.#held - limit, most.size - second)));
      if (this.#held === before) return;
    }
  }

  #largest(arriving: HeldGroup): { most: HeldGroup; second: number } {
    let most = arriving;
    let second = 0;
    for (const group of this.#groups) {
      if (group === most) continue;
      if (group.size > most.size) {
        second = most.size;
        most = group;
      } else if (group.size > second) second = group.size;
    }
    return { most, second };
  }
}

/** All connections of one account. */
export class HeldAccount implements HeldGroup {
  readonly #members = new Set<HeldGroup>();

  get size(): number {
    let size = 0;
    for (const member of this.#members) size += member.size;
    return size;
  }

  get done(): number {
    let done = 0;
    for (const member of this.#members) done += member.done;
    return done;
  }

  get isEmpty(): boolean {
    return this.#members.size === 0;
  }

  addMember(member: HeldGroup): void {
    this.#members.add(member);
  }

  removeMember(member: HeldGroup): void {
    this.#members.delete(member);
  }

  /** From the connection that holds the most. */
  evictForTotal(count: number): void {
    for (let left = count; left > 0; ) {
      let most: HeldGroup | undefined;
      for (const member of this.#members) if (most === undefined || member.size > most.size) most = member;
      const size = most?.size ?? 0;
      if (most === undefined || size === 0) return;
      most.evictForTotal(left);
      left -= size - most.size;
    }
  }

  /** From the connection that has the most of these. */
  letGo(count: number): void {
    for (let left = count; left > 0; ) {
      let most: HeldGroup | undefined;
      for (const member of this.#members) if (most === undefined || member.done > most.done) most = member;
      const portion = Math.min(left, most?.done ?? 0);
      if (portion === 0) return;
      most?.letGo(portion);
      left -= portion;
    }
  }
}
