/** A child process that compares scripts, and a watchdog over it: user code that freezes runs no timers of its own. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Difference } from '../compare.js';
import type { Library } from '../library.js';
import type { Script } from '../script.js';
import type { Report, Task } from '../worker.js';

/** What became of a script. */
export type Result =
  | { readonly kind: 'same'; readonly racy: boolean }
  | { readonly kind: 'different'; readonly differences: readonly Difference[] }
  /** No word of the process for too long. */
  | { readonly kind: 'freeze'; readonly library: Library }
  | { readonly kind: 'crash'; readonly library: Library; readonly how: string };

const WORKER = fileURLToPath(new URL('../worker.js', import.meta.url));

export class WorkerProcess {
  readonly #child: ChildProcess;
  #id = 0;
  #library: Library = 'stock';
  #onReport: ((report: Report) => void) | undefined;
  #onExit: ((how: string) => void) | undefined;
  usable = true;

  /**
   * @param directory for the sockets
   * @param program what it runs
   */
  constructor(directory: string, program = WORKER) {
    const env = { ...process.env, NODE_TEST_CONTEXT: undefined };
    this.#child = fork(program, [directory], { execArgv: ['--expose-gc'], env });
    this.#child.on('message', (report: Report) => this.#onReport?.(report));
    this.#child.on('exit', (code, signal) => {
      this.usable = false;
      this.#onExit?.(`${signal ?? `exit code ${code}`}`);
    });
  }

  /** One at a time. */
  compare(script: Script, patienceMs: number): Promise<Result> {
    const id = ++this.#id;
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout;
      const settle = (result: Result) => {
        clearTimeout(timer);
        this.#onReport = undefined;
        this.#onExit = undefined;
        resolve(result);
      };
      const watch = () => {
        clearTimeout(timer);
        timer = setTimeout(() => {
          settle({ kind: 'freeze', library: this.#library });
          this.stop();
        }, patienceMs);
      };
      this.#onReport = (report) => {
        if (report.id !== id) return;
        if (report.kind === 'run') {
          this.#library = report.library;
          watch();
        } else {
          const { racy, differences } = report.verdict;
          settle(differences.length > 0 ? { kind: 'different', differences } : { kind: 'same', racy });
        }
      };
      this.#onExit = (how) => settle({ kind: 'crash', library: this.#library, how });
      watch();
      this.#child.send({ id, script } satisfies Task);
    });
  }

  stop(): void {
    this.usable = false;
    this.#child.kill('SIGKILL');
  }
}
