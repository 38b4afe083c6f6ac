/** A pipe, and all that keeps its end to write to open. */
export class Pipe {
  readonly holders = new Set<Holder>();
  /** How many open files of it were sent. */
  openFiles = 0;
  /** The last time at which a receive that waited for it came to its end. */
  waitSettledAt: number | undefined;
  /** Its holders have changed since this was last false. */
  changed = true;

  constructor(readonly id: number) {}

  /** What the other end must see. */
  get state(): 'open' | 'closed' | 'either' {
    let state: 'closed' | 'either' = 'closed';
    for (const { certain } of this.holders) {
      if (certain) return 'open';
      state = 'either';
    }
    return state;
  }
}

/** Somebody who keeps a descriptor of a pipe open: credentials, an end of a connection, a user. */
export class Holder {
  /** False where the rules leave open whether it still does. */
  certain = true;

  constructor(readonly pipe: Pipe) {
    pipe.changed = true;
    pipe.holders.add(this);
  }

  doubt(): void {
    this.certain = false;
    this.pipe.changed = true;
  }

  release(): void {
    this.pipe.changed = true;
    this.pipe.holders.delete(this);
  }
}
