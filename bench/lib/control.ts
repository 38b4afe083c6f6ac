/** The commands that the benchmark sends to its processes. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The commands of a process. Arguments and results are JSON. */
export type Commands = Readonly<Record<string, (...args: never[]) => unknown>>;

type Answer = { readonly id: number; readonly value?: unknown; readonly error?: string };

/** Called in the child: carries out commands of the parent until the parent has gone. */
export function obey(commands: Commands): void {
  process.on('message', ({ id, name, args }: { id: number; name: string; args: never[] }) => {
    const command = async () => commands[name]?.(...args);
    command().then(
      (value) => process.send?.({ id, value } satisfies Answer),
      (error: unknown) => process.send?.({ id, error: describe(error) } satisfies Answer),
    );
  });
  process.on('disconnect', () => process.exit());
  process.send?.({ id: 0 } satisfies Answer);
}

/** A process of the benchmark. `C` is the type of the commands that it passed to {@link obey}. */
export class Peer<C extends Commands> {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  readonly #exited: Promise<void>;
  #nextId = 1;

  /** @param module the module to run, relative to the root of the benchmark; it must call {@link obey} */
  static async start<C extends Commands>(
    module: string,
    args: readonly string[] = [],
    execArgv: readonly string[] = [],
  ): Promise<Peer<C>> {
    const path = fileURLToPath(new URL(`../${module}`, import.meta.url));
    // With the options of this process, so that `node --cpu-prof build/bench/main.js` profiles every process.
    const peer = new Peer<C>(fork(path, args, { execArgv: [...process.execArgv, ...execArgv] }));
    await peer.#answerTo(0);
    return peer;
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', (answer: Answer) => {
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    this.#exited = new Promise((resolve) => {
      child.on('exit', (code, signal) => {
        const error = `a process of the bench ended: ${code ?? signal}`;
        for (const [id, settle] of this.#waiting) settle({ id, error });
        resolve();
      });
    });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('the process could not be started');
    return this.#child.pid;
  }

  async ask<Name extends keyof C & string>(
    name: Name,
    ...args: Parameters<C[Name]>
  ): Promise<Awaited<ReturnType<C[Name]>>> {
    const id = this.#nextId++;
    const answer = this.#answerTo(id);
    this.#child.send({ id, name, args });
    return (await answer) as Awaited<ReturnType<C[Name]>>;
  }

  async stop(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    await this.#exited;
  }

  #answerTo(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ value, error }) =>
        error === undefined ? resolve(value) : reject(new Error(error)),
      );
    });
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
