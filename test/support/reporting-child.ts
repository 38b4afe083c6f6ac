import { type ChildProcess, fork } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { User } from './other-user.js';

/** A process that does not come to what it has to do in this time has frozen. */
const PATIENCE_MS = 60_000;

/** A child process that reports to this one. */
export class Child<R extends { readonly kind: string }, Order extends object> {
  /** The last report. */
  last: R | undefined;
  /** When it came, by `performance.now()`. */
  heardAt = performance.now();
  readonly #process: ChildProcess;
  readonly #seen = new Set<string>();
  #ended: string | undefined;

  /** With `user`, it is a process of that user, which takes root. */
  constructor(program: URL, args: readonly string[], env: NodeJS.ProcessEnv = {}, user?: User) {
    this.#process = fork(fileURLToPath(program), [...args], {
      execArgv: ['--expose-gc'],
      env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env },
      ...(user && { uid: user.uid, gid: user.gid }),
    });
    this.#process.on('message', (report: R) => {
      this.last = report;
      this.heardAt = performance.now();
      this.#seen.add(report.kind);
    });
    // What it has said last may be read after its exit.
    const said = new Promise((resolve) => this.#process.once('disconnect', resolve));
    this.#process.on('exit', async (code, signal) => {
      await said;
      this.#ended = `${signal ?? code}`;
    });
  }

  get pid(): number {
    return this.#process.pid ?? -1;
  }

  /** Its exit code, or the signal that ended it. Undefined while it runs. */
  get ended(): string | undefined {
    return this.#ended;
  }

  tell(order: Order): void {
    this.#process.send(order);
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  has(kind: R['kind']): boolean {
    return this.#seen.has(kind);
  }

  /** Resolves when that report has come. */
  async until(kind: R['kind'], patienceMs = PATIENCE_MS): Promise<void> {
    await this.#wait(patienceMs, `a process does not come to '${kind}'`, () => {
      if (this.#seen.has(kind)) return true;
      if (this.#ended !== undefined) throw new Error(`a process ended with ${this.#ended} before '${kind}'`);
      return false;
    });
  }

  /** Resolves with the exit code or the signal. */
  async exit(): Promise<string> {
    await this.#wait(PATIENCE_MS, 'a process does not end', () => this.#ended !== undefined);
    return this.#ended ?? '';
  }

  async #wait(patienceMs: number, what: string, condition: () => boolean): Promise<void> {
    const deadline = performance.now() + patienceMs;
    while (!condition()) {
      if (performance.now() > deadline) throw new Error(`hang: ${what}`);
      await delay(1);
    }
  }
}
