import { type ChildProcess, fork } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { User } from './other-user.js';

/** A process that does not come to what it has to do in this time has frozen. */
const PATIENCE_MS = 60_000;

interface Report<Kind> {
  readonly kind: Kind;
  readonly problems: readonly string[];
}

/** A child process that reports to this one. */
export class Child<R extends Report<string>, Order extends object> {
  /** The last report. */
  last: R | undefined;
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
      this.#seen.add(report.kind);
    });
    this.#process.on('exit', (code, signal) => {
      this.#ended = `${signal ?? code}`;
    });
  }

  tell(order: Order): void {
    this.#process.send(order);
  }

  get pid(): number {
    return this.#process.pid ?? -1;
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  has(kind: R['kind']): boolean {
    return this.#seen.has(kind);
  }

  /** Resolves when that report has come. */
  async until(kind: R['kind']): Promise<void> {
    await this.#wait(`a process does not come to '${kind}'`, () => {
      if (this.#seen.has(kind)) return true;
      if (this.#ended !== undefined) throw new Error(`a process ended with ${this.#ended} before '${kind}'`);
      return false;
    });
  }

  /** Resolves with the exit code or the signal. */
  async exit(): Promise<string> {
    await this.#wait('a process does not end', () => this.#ended !== undefined);
    return this.#ended ?? '';
  }

  async #wait(what: string, condition: () => boolean): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!condition()) {
      if (performance.now() > deadline) throw new Error(`hang: ${what}`);
      await delay(1);
    }
  }
}
