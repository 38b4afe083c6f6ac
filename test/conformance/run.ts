/** One run of a script over one library: its clock, and the record of what was seen. */
import { randomFrom } from '../support/random.js';
import type { Library, Transport } from './library.js';

/** What was seen, by whom: `call 0`, `handler 1`, `connection 0 stream 1`, … */
export type Outcome = Readonly<Record<string, string>>;

/** Turns of the event loop without any event after which nothing more is expected. */
const STILL_TURNS = 40;
/** And so many milliseconds. */
const STILL_MS = 0.4;
const TIMER_GRACE_MS = 2;
/** Later attempts wait longer, so that slowness is never taken for a difference. */
const PATIENCES = [1, 2, 8, 16] as const;

/** By how many turns steps of later attempts are put off. */
const JITTER = [0, 0, 0, 0, 1, 1, 2, 3] as const;

export class Run {
  readonly library: Library;
  readonly security: Transport;
  readonly path: string;
  readonly #patience: number;
  readonly #jitter: () => number;
  readonly #events = new Map<string, string[]>();
  /** Those who give up first come first. */
  readonly #waits: Wait[] = [];
  #activity = 0;
  /** When the last timer that the run knows of has certainly run. */
  #timersUntil = 0;
  #over = false;

  /** @param attempt 0 for the first; those after it are more patient, and vary the timing of their steps */
  constructor(library: Library, security: Transport, path: string, attempt: number) {
    this.library = library;
    this.security = security;
    this.path = path;
    this.#patience = PATIENCES[attempt] ?? 16;
    const random = randomFrom(attempt);
    this.#jitter = () => (attempt === 0 ? 0 : (JITTER[random(JITTER.length)] ?? 0));
  }

  get address(): string {
    return `unix:${this.path}`;
  }

  log(subject: string, event: string): void {
    if (this.#over) return;
    this.#activity++;
    const events = this.#events.get(subject);
    const text = event.replaceAll(this.path, 'PATH');
    if (events === undefined) this.#events.set(subject, [text]);
    else events.push(text);
  }

  /** Tells that something moved that is not worth a record. */
  stir(): void {
    this.#activity++;
  }

  /** Ends the record: what happens later belongs to nobody. */
  finish(): Outcome {
    this.#over = true;
    const subjects = [...this.#events].sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(subjects.map(([subject, events]) => [subject, events.join(', ')]));
  }

  /** In later attempts, lets a few turns pass, so that what happens at the same time happens in every order. */
  async hesitate(): Promise<void> {
    for (let turn = this.#jitter(); turn > 0; turn--) await nextTurn();
  }

  async turns(count: number): Promise<void> {
    // Fewer, too: with stock, bytes take fewer turns to get to where they go.
    const fewer = Math.min(count, this.#jitter());
    for (let turn = count - fewer + this.#jitter(); turn > 0; turn--) await nextTurn();
    this.stir();
  }

  async ms(count: number): Promise<void> {
    const length = count + this.#jitter();
    this.expectTimer(length);
    await new Promise((resolve) => setTimeout(resolve, length));
    this.stir();
  }

  /** Nothing is given up before a timer of that length has run, here or in grpc-js. */
  expectTimer(ms: number): void {
    this.#timersUntil = Math.max(this.#timersUntil, performance.now() + ms + TIMER_GRACE_MS);
  }

  /**
   * Waits until the condition holds. False when it does not, and nothing has moved for a while. Of several who wait for
   * something to move, one gives up at a time, and in every run the same; the others begin anew, for it moves.
   *
   * @param factor how much longer than usual to wait for something to move
   */
  until(condition: () => boolean, factor = 1): Promise<boolean> {
    if (condition()) return Promise.resolve(true);
    return new Promise((resolve) => {
      this.#waits.push({ condition, factor, resolve });
      this.#waits.sort((a, b) => a.factor - b.factor);
      if (this.#waits.length === 1) void this.#watch();
    });
  }

  async #watch(): Promise<void> {
    let seen = this.#activity;
    let still = 0;
    let since = performance.now();
    while (this.#waits.length > 0) {
      await nextTurn();
      this.#settle();
      const now = performance.now();
      if (this.#activity !== seen || now < this.#timersUntil) {
        seen = this.#activity;
        still = 0;
        since = now;
      } else if (this.#isLongEnough(++still, now - since)) {
        this.#waits.shift()?.resolve(false);
        this.stir();
      }
    }
  }

  #settle(): void {
    for (const wait of this.#waits.filter(({ condition }) => condition())) {
      this.#waits.splice(this.#waits.indexOf(wait), 1);
      wait.resolve(true);
      this.stir();
    }
  }

  #isLongEnough(turns: number, ms: number): boolean {
    const factor = this.#waits[0]?.factor ?? 0;
    return turns > STILL_TURNS * factor && ms > STILL_MS * factor * this.#patience;
  }
}

interface Wait {
  readonly condition: () => boolean;
  readonly factor: number;
  readonly resolve: (held: boolean) => void;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
