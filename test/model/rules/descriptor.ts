import type { Attempt, Call } from './call.js';
import type { Credentials } from './credentials.js';
import type { End, Place } from './end.js';
import { Holder, type Pipe } from './pipe.js';

/** A descriptor that a user sent, once. */
export class Sending {
  /** Credentials keep it for further attempts. */
  isKept = false;
  /** It was sent with these. */
  credentials: Credentials | undefined;
  /** What its ref names outside the calls whose metadata has it: what came when it was sent, one for each call that ran. */
  readonly unclaimed: Copy[] = [];
  #holder: Holder | undefined;
  /** The calls that carry it and may have another attempt. */
  readonly carriers = new Set<Call>();

  constructor(
    readonly id: number,
    readonly pipe: Pipe,
    /** Which open file of the pipe it is. */
    readonly openFile: number,
    /** The kernel refuses to send it. */
    readonly refused: boolean,
    /** Its ref is an exact name. */
    readonly exact: boolean,
  ) {}

  keep(): void {
    this.isKept = true;
    if (!this.refused) this.#holder = new Holder(this.pipe);
  }

  /** No attempt can follow. */
  release(): void {
    this.isKept = false;
    this.#holder?.release();
    this.carriers.clear();
  }
}

/**
 * - held: the connection has it
 * - doubtful: the rules leave open whether it still has it
 * - moved: a receive by ref handed it over
 * - closed: the connection has closed it
 * - over limit: closed when its call started, which brought too many
 * - refused: a placeholder came in its stead
 */
export type CopyState = 'held' | 'doubtful' | 'moved' | 'closed' | 'over limit' | 'refused';

/** What came of a sending at one end of one connection: each attempt of a call brings its own. */
export class Copy {
  /** The attempt that claims it, at a server. */
  attempt: Attempt | undefined;
  #state: CopyState;
  readonly #holder: Holder | undefined;

  constructor(
    readonly sending: Sending,
    readonly end: End,
    /** The call in which a server sent it. */
    readonly call: Call | undefined,
    /** Those of one time came in an order that is not known, unless they are of one batch. */
    readonly time: number,
    readonly batch: number,
  ) {
    this.#state = sending.refused ? 'refused' : 'held';
    this.#holder = sending.refused ? undefined : new Holder(sending.pipe);
  }

  get state(): CopyState {
    return this.#state;
  }

  /** Whether it may be there. */
  get isHere(): boolean {
    return this.#state === 'held' || this.#state === 'doubtful';
  }

  doubt(): void {
    if (this.#state !== 'held') return;
    this.#state = 'doubtful';
    this.#holder?.doubt();
  }

  /** It is not there any more. */
  leaves(state: 'moved' | 'closed' | 'over limit'): void {
    if (!this.isHere) return;
    this.#state = state;
    this.#holder?.release();
  }
}

/** A descriptor that a user received, and has not closed. */
export class File extends Holder {
  constructor(
    readonly id: number,
    /** Any one of these: it is known that they are of one pipe. */
    readonly copies: readonly Copy[],
    readonly place: Place,
    /** Whether it is a `ReceivedFile`. */
    readonly isReceivedFile: boolean,
    pipe: Pipe,
  ) {
    super(pipe);
  }
}
