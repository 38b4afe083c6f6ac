/** What a soak shows while it runs: a line that changes on a terminal, and a line each 30 seconds in a pipe. */

import { total } from './audit.js';
import type { Cell } from './cell.js';
import { callCounts } from './report.js';

const TERMINAL_MS = 1_000;
const PIPE_MS = 30_000;

export class Status {
  readonly #minutes: number;
  readonly #began = performance.now();
  #shownAt = performance.now();
  readonly #told = new Set<string>();

  constructor(minutes: number) {
    this.#minutes = minutes;
  }

  show(cells: readonly Cell[]): void {
    this.#tellProblems(cells);
    const now = performance.now();
    if (now - this.#shownAt < (process.stdout.isTTY ? TERMINAL_MS : PIPE_MS)) return;
    this.#shownAt = now;
    const line = this.#line(cells);
    if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${line.slice(0, process.stdout.columns - 1)}`);
    else console.log(line);
  }

  end(): void {
    if (process.stdout.isTTY) process.stdout.write('\r\x1b[K');
  }

  /** A new problem is told when it is found. */
  #tellProblems(cells: readonly Cell[]): void {
    const found = cells.flatMap((cell) => [
      ...cell.problems,
      ...cell.parties.flatMap(({ report }) => report?.problems ?? []),
    ]);
    for (const { fault, text } of found) {
      const line = `${fault}: ${text}`;
      if (this.#told.has(line)) continue;
      this.#told.add(line);
      this.end();
      console.log(line);
    }
  }

  #line(cells: readonly Cell[]): string {
    const seconds = Math.round((performance.now() - this.#began) / 1_000);
    const parties = cells.flatMap((cell) => cell.parties);
    const running = parties.filter(({ fate }) => fate === 'runs' || fate === 'ending').length;
    const received = parties.reduce((so, { report }) => so + (report?.stats.receivedFds ?? 0), 0);
    const problems =
      cells.reduce((so, cell) => so + cell.problems.length, 0) +
      parties.reduce((so, { report }) => so + (report?.problems.length ?? 0), 0);
    return (
      `${seconds} s of ${this.#minutes * 60}: ${running} processes of ${parties.length}, ` +
      `${total(callCounts(cells))} calls, ${received} descriptors received, ${problems} problems`
    );
  }
}
