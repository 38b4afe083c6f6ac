/** Restarts a server again and again, in all the ways that there are, while a client makes calls. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { shareCertificates } from '../support/certificates.js';
import { type Random, randomFrom } from '../support/random.js';
import { Child } from '../support/reporting-child.js';
import type { ClientReport, Figures, ReleaseOrder, ReleaseReport, Way } from './messages.js';

export const SECURITIES = ['plaintext', 'TLS'] as const;
export type Security = (typeof SECURITIES)[number];

const RESTARTS = [
  'kill -9',
  'SIGTERM',
  'hand-over',
  /** The old release dies as soon as the new one serves, with calls and connections of its own. */
  'hand-over, then kill -9',
] as const;
type Restart = (typeof RESTARTS)[number];

/** Between the first call that a release answers and its end. */
const LONGEST_LIFE_MS = 40;
const SOCKET_FILE = 'server.sock';

export interface Task {
  readonly security: Security;
  readonly restarts: number;
  readonly seed: number;
  /** After it, no restart begins, unless a kind is missing. */
  readonly deadline: number;
}

export interface Outcome {
  readonly figures: Figures;
  readonly problems: readonly string[];
}

export async function runRestarts(task: Task): Promise<Outcome> {
  const directory = mkdtempSync(join(tmpdir(), 'grpcfd-'));
  try {
    const env = await shareCertificates(join(directory, 'certificates.json'));
    const sockets = join(directory, 'sockets');
    mkdirSync(sockets);
    return await new Run(task, sockets, env).run();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

interface Release {
  readonly child: Child<ReleaseReport, ReleaseOrder>;
  /** Its socket file is there after it has stopped: it handed the socket over, or did not make it. */
  readonly keepsFile: boolean;
}

class Run {
  readonly #figures: Figures = Object.fromEntries(RESTARTS.map((kind) => [kind, 0]));
  readonly #problems: string[] = [];
  readonly #children: { kill(signal: 'SIGKILL'): void }[] = [];
  readonly #task: Task;
  readonly #directory: string;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #random: Random;
  readonly #round: Restart[] = [];
  /** The next release has loaded its modules already, so that it does not take long to start. */
  #spare: Release['child'];

  constructor(task: Task, directory: string, environment: NodeJS.ProcessEnv) {
    this.#task = task;
    this.#directory = directory;
    this.#environment = environment;
    this.#random = randomFrom(task.seed);
    this.#spare = this.#newChild();
  }

  async run(): Promise<Outcome> {
    try {
      await this.#restartUnderLoad();
    } catch (error) {
      this.#problems.push((error as Error).message);
    } finally {
      for (const child of this.#children) child.kill('SIGKILL');
    }
    const count = (start: string) => this.#problems.filter((problem) => problem.startsWith(start)).length;
    this.#figures['descriptors left in releases'] = count('a release left a descriptor');
    this.#figures['stray files'] = count('stray files');
    return { figures: this.#figures, problems: this.#problems };
  }

  async #restartUnderLoad(): Promise<void> {
    const { security, restarts, deadline } = this.#task;
    const client = new Child<ClientReport, object>(
      new URL('./client.js', import.meta.url),
      [security, this.#directory],
      this.#environment,
    );
    this.#children.push(client);
    let next = this.#draw();
    let release = await this.#start(next);
    for (let index = 1; index < restarts && (index <= RESTARTS.length || Date.now() < deadline); index++) {
      const now = next;
      next = this.#draw();
      release = await this.#restart(release, now, next);
    }
    // The last release makes its file, and removes it.
    release = await this.#restart(release, 'SIGTERM', 'SIGTERM');
    await release.child.until('answers');
    client.tell({});
    await client.until('finished');
    await client.exit();
    await this.#stop(release);
    this.#checkFiles([]);
    await this.#spare.until('loaded');
    this.#spare.kill('SIGKILL');
    await this.#spare.exit();
    Object.assign(this.#figures, client.last?.figures);
    this.#problems.push(...(client.last?.problems ?? []));
  }

  /** Each kind comes once in a round, in any order. */
  #draw(): Restart {
    if (this.#round.length === 0) this.#round.push(...RESTARTS);
    const [drawn] = this.#round.splice(this.#random(this.#round.length), 1);
    return drawn ?? 'SIGTERM';
  }

  /** Ends `old` in the way of `kind`, in the middle of its calls, and starts a release that `next` is going to end. */
  async #restart(old: Release, kind: Restart, next: Restart): Promise<Release> {
    await old.child.until('answers');
    await delay(this.#random(LONGEST_LIFE_MS));
    await this.#spare.until('loaded');
    let release: Release;
    if (kind === 'hand-over' || kind === 'hand-over, then kill -9') {
      release = await this.#handOver(old, kind === 'hand-over', next);
    } else if (kind === 'SIGTERM') {
      await this.#stop(old);
      this.#checkFiles(old.keepsFile ? [SOCKET_FILE] : []);
      release = await this.#start(next);
    } else {
      await this.#kill(old);
      this.#checkFiles([SOCKET_FILE]);
      release = await this.#start(next);
    }
    this.#checkFiles([SOCKET_FILE]);
    this.#figures[kind] = (this.#figures[kind] ?? 0) + 1;
    return release;
  }

  async #start(next: Restart): Promise<Release> {
    const handsOver = next.startsWith('hand-over');
    // bindAsync() of a path does not tell the number of the socket.
    const way = handsOver ? 'listen' : this.#way();
    const child = this.#takeSpare();
    await child.until('loaded');
    child.tell({ kind: 'start', way, handsOver });
    await child.until('serves');
    return { child, keepsFile: handsOver };
  }

  async #handOver(old: Release, isGraceful: boolean, next: Restart): Promise<Release> {
    const handsOver = next.startsWith('hand-over');
    const way = this.#way();
    const child = this.#takeSpare();
    child.tell({ kind: 'take over', way, handsOver });
    await child.until('waits');
    old.child.tell({ kind: 'hand over' });
    await child.until('serves');
    if (isGraceful) await this.#stopped(old);
    else await this.#kill(old);
    return { child, keepsFile: handsOver || way === 'bind' };
  }

  async #stop(release: Release): Promise<void> {
    release.child.kill('SIGTERM');
    await this.#stopped(release);
  }

  async #stopped({ child }: Release): Promise<void> {
    await child.until('stopped');
    this.#problems.push(...(child.last?.problems ?? []));
    const how = await child.exit();
    if (how !== '0') this.#problems.push(`a release ended with ${how}`);
  }

  async #kill({ child }: Release): Promise<void> {
    child.kill('SIGKILL');
    await child.exit();
  }

  #way(): Way {
    return this.#random(2) === 0 ? 'bind' : 'listen';
  }

  #takeSpare(): Release['child'] {
    const child = this.#spare;
    this.#spare = this.#newChild();
    return child;
  }

  #newChild(): Release['child'] {
    const args = [this.#task.security, this.#directory];
    const child: Release['child'] = new Child(
      new URL('./release.js', import.meta.url),
      args,
      this.#environment,
    );
    this.#children.push(child);
    return child;
  }

  #checkFiles(wanted: readonly string[]): void {
    const found = readdirSync(this.#directory).join();
    if (found !== wanted.join()) this.#problems.push(`stray files: ${found} instead of ${wanted.join()}`);
  }
}
