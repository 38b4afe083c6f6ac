import type { Tally } from './tally.js';

const LIVE_INTERVAL_MS = 200;
/** Where no terminal shows a line that changes. */
const LOG_INTERVAL_MS = 15_000;

/** A line that tells how far the run is. */
export class Progress {
  readonly #scripts: number;
  readonly #start = performance.now();
  #shown = 0;

  constructor(scripts: number) {
    this.#scripts = scripts;
  }

  show(tally: Tally): void {
    const now = performance.now();
    if (now - this.#shown < (process.stdout.isTTY ? LIVE_INTERVAL_MS : LOG_INTERVAL_MS)) return;
    this.#shown = now;
    const done = tally.total('scripts');
    const speed = Math.round((1_000 * done) / (now - this.#start));
    const line =
      `${done} of ${this.#scripts} scripts, ${speed} a second, ${tally.total('racy')} racy, ` +
      `${tally.total('differences')} differences`;
    process.stdout.write(process.stdout.isTTY ? `\r\x1b[K${line}` : `${line}\n`);
  }

  /** Other output, on lines of its own. */
  print(text: string): void {
    if (process.stdout.isTTY) process.stdout.write('\r\x1b[K');
    console.log(text);
  }

  end(): void {
    if (process.stdout.isTTY) process.stdout.write('\n');
  }
}
