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

export class Run {
  readonly library: Library;
  readonly security: Transport;
  readonly path: string;
  readonly #patience: number;
  readonly #jitter: () => number;
  readonly #events = new Map<string, string[]>();
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
    this.#jitter = () => (attempt === 0 ? 0 : random(2) * random(5));
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

  async turns(count: number): Promise<void> {
    for (let turn = count + this.#jitter(); turn > 0; turn--) await nextTurn();
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
   * Waits until the condition holds. False when it does not, and nothing has moved for a while. Others that wait for something
   * to move begin anew then: of two who wait for each other, one gives up first, and in every run the same.
   *
   * @param factor how much longer than usual to wait for something to move
   */
  async until(condition: () => boolean, factor = 1): Promise<boolean> {
    let seen = this.#activity;
    let still = 0;
    let since = performance.now();
    while (!condition()) {
      await nextTurn();
      if (this.#activity !== seen) {
        seen = this.#activity;
        still = 0;
        since = performance.now();
      } else if (++still > STILL_TURNS * factor) {
        const now = performance.now();
        if (now < this.#timersUntil || now - since <= STILL_MS * factor * this.#patience) continue;
        this.stir();
        return false;
      }
    }
    return true;
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
