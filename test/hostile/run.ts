/** One storm: a server, a bystander and attackers, each in a process of its own. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { shareCertificates } from '../support/certificates.js';
import { type Random, randomFrom } from '../support/random.js';
import { Child } from '../support/reporting-child.js';
import {
  type Attack,
  type AttackerReport,
  type BystanderOrder,
  type BystanderReport,
  type Delay,
  NOTHING,
  type Served,
  type ServerOrder,
  type ServerReport,
  type State,
} from './messages.js';
import { fdTargets, openFds, residentBytes } from './process-figures.js';
import type { Storm } from './storms.js';

/** The usual soft limit, and so the hardest case. */
export const TABLE = 1_024;
/** Of memory over the baseline: more is a fault. */
const MOST_BYTES = 256 * 2 ** 20;
/** What grpc-js takes for a call that stays open is about 20 KiB, whatever it carries: `grpc.max_concurrent_streams` bounds such calls. */
const BYTES_OF_CALL = 24 * 2 ** 10;
/** Of what is left in the heap. */
const MOST_LEFT_BYTES = 24 * 2 ** 20;
const SAMPLE_MS = 10;
/** Newcomers wait for so long, and give up sooner where there may be no connection for them. */
const PATIENCE_OF_NEWCOMERS_MS = { served: 20_000, refused: 1_000 };
/** Attackers that were stopped, and stay so. */
const MOST_STOPPED = 8;
const LONGEST_LIFE_MS = 150;
/** How long the server may take to be as before. */
const PATIENCE_MS = 30_000;

export interface Task {
  readonly storm: Storm;
  readonly seconds: number;
  readonly seed: number;
}

export interface Figures {
  readonly attack: Attack;
  readonly peakBytes: number;
  readonly peakTable: number;
  readonly delay: Delay;
  readonly steady: Served;
  readonly newcomers: Served;
  /** How long the server took until it was as before. */
  readonly recoveredMs: number;
}

export interface Outcome {
  readonly figures: Figures | undefined;
  readonly problems: readonly string[];
}

export async function runStorm(task: Task): Promise<Outcome> {
  const directory = mkdtempSync(join(tmpdir(), 'grpcfd-'));
  // Attackers of other users connect, too.
  chmodSync(directory, 0o711);
  const run = new Run(task, directory);
  try {
    return await run.run();
  } finally {
    run.end();
    rmSync(directory, { recursive: true, force: true });
  }
}

type Attacker = Child<AttackerReport, object>;

class Run {
  readonly #task: Task;
  readonly #directory: string;
  readonly #address: string;
  readonly #random: Random;
  readonly #children: { kill(signal: 'SIGKILL'): void }[] = [];
  readonly #problems: string[] = [];
  readonly #attackers: Attacker[] = [];
  readonly #stopped: Attacker[] = [];
  readonly #done: Attack = { ...NOTHING };
  #nextSeed: number;

  constructor(task: Task, directory: string) {
    this.#task = task;
    this.#directory = directory;
    this.#address = `unix:${join(directory, 'server.sock')}`;
    this.#random = randomFrom(task.seed);
    this.#nextSeed = task.seed;
  }

  async run(): Promise<Outcome> {
    let figures: Figures | undefined;
    try {
      figures = await this.#storm();
    } catch (error) {
      this.#problems.push((error as Error).message);
    }
    return { figures, problems: this.#problems };
  }

  end(): void {
    for (const child of this.#children) child.kill('SIGKILL');
  }

  async #storm(): Promise<Figures> {
    const { storm, seconds } = this.#task;
    const { security = 'plaintext', limits = {}, refusesNewcomers = false } = storm;
    const patience = PATIENCE_OF_NEWCOMERS_MS[refusesNewcomers ? 'refused' : 'served'];
    const env =
      security === 'plaintext' ? {} : await shareCertificates(join(this.#directory, 'certificates.json'));
    const server = this.#start<ServerReport, ServerOrder>(
      'server',
      [security, `${TABLE}`, JSON.stringify(limits)],
      env,
    );
    await server.until('serves');
    const bystander = (role: string) =>
      this.#start<BystanderReport, BystanderOrder>('bystander', [security, role, `${patience}`], env);
    const [steady, newcomers] = [bystander('steady'), bystander('newcomers')];
    for (const each of [steady, newcomers]) await each.until('ready');
    server.tell({ kind: 'begin' });
    await server.until('begun');
    const before = server.last?.state as State;
    const base = { bytes: residentBytes(server.pid), table: openFds(server.pid) };
    const files = fdTargets(server.pid);

    for (let count = 0; count < storm.processes; count++) this.#attackers.push(this.#newAttacker());
    for (const attacker of this.#attackers) await attacker.until('begun');
    for (const each of [steady, newcomers]) each.tell({ kind: 'begin' });
    const peak = { ...base };
    const deadline = performance.now() + seconds * 1_000;
    let nextSignal = 0;
    const sample = () => {
      peak.bytes = Math.max(peak.bytes, residentBytes(server.pid));
      peak.table = Math.max(peak.table, openFds(server.pid));
    };
    while (performance.now() < deadline) {
      sample();
      await delay(SAMPLE_MS);
      if (storm.signal !== undefined && performance.now() > nextSignal) {
        await this.#signal(storm.signal);
        nextSignal = performance.now() + this.#random(LONGEST_LIFE_MS);
      }
    }
    for (const each of [steady, newcomers]) each.tell({ kind: 'end' });
    const ended = Promise.all([steady.until('ended'), newcomers.until('ended')]);
    let hasEnded = false;
    ended
      .finally(() => {
        hasEnded = true;
      })
      .catch(() => {});
    while (!hasEnded) {
      sample();
      await delay(SAMPLE_MS);
    }
    await ended;
    newcomers.kill('SIGKILL');
    for (const attacker of [...this.#attackers, ...this.#stopped]) this.#kill(attacker);
    const left = performance.now();
    const ofSteady = steady.last as Required<BystanderReport>;
    const ofNewcomers = newcomers.last as Required<BystanderReport>;
    this.#problems.push(...ofSteady.problems, ...ofNewcomers.problems);
    const { refusals } = ofNewcomers;
    if (!refusesNewcomers) this.#problems.push(...refusals.map((each) => `a newcomer: ${each}`));

    server.tell({ kind: 'end' });
    await server.until('ended');
    const delayOfLoop = server.last?.delay as Delay;
    const differences = await this.#recover(server, before, files);
    this.#problems.push(...differences);
    const recoveredMs = performance.now() - left;
    const peakBytes = peak.bytes - base.bytes;
    const mostBytes = MOST_BYTES + (this.#task.storm.callsStay ? this.#done.calls * BYTES_OF_CALL : 0);
    if (peakBytes > mostBytes) this.#problems.push(`the server took ${peakBytes} bytes more`);
    if (ofSteady.served.calls === 0) this.#problems.push('no call of a bystander was served');
    if (ofNewcomers.served.calls === 0 && !refusesNewcomers) this.#problems.push('no newcomer was served');
    return {
      attack: this.#done,
      peakBytes,
      peakTable: peak.table,
      delay: delayOfLoop,
      steady: ofSteady.served,
      newcomers: ofNewcomers.served,
      recoveredMs,
    };
  }

  #start<R extends ServerReport | BystanderReport | AttackerReport, Order extends object>(
    name: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
    user = this.#task.storm.user,
  ): Child<R, Order> {
    const isAttacker = name === 'attacker';
    const program = new URL(`./${name}.js`, import.meta.url);
    const child = new Child<R, Order>(program, [this.#address, ...args], env, isAttacker ? user : undefined);
    this.#children.push(child);
    return child;
  }

  #newAttacker(): Attacker {
    return this.#start<AttackerReport, object>('attacker', [this.#task.storm.attack, `${this.#nextSeed++}`]);
  }

  /** One of the attackers gets it, in the middle of what it does, and another one takes its place. */
  async #signal(signal: 'SIGSTOP' | 'SIGKILL'): Promise<void> {
    const index = this.#random(this.#attackers.length);
    const [attacker] = this.#attackers.splice(index, 1, this.#newAttacker());
    if (attacker === undefined) return;
    await attacker.until('begun');
    await delay(this.#random(LONGEST_LIFE_MS));
    if (signal === 'SIGKILL') {
      this.#kill(attacker);
      return;
    }
    attacker.kill('SIGSTOP');
    this.#stopped.push(attacker);
    if (this.#stopped.length <= MOST_STOPPED) return;
    const [oldest] = this.#stopped.splice(0, 1);
    if (oldest !== undefined) this.#kill(oldest);
  }

  #kill(attacker: Attacker): void {
    attacker.kill('SIGKILL');
    const { attack } = attacker.last ?? { attack: NOTHING };
    for (const key of Object.keys(attack) as (keyof Attack)[]) this.#done[key] += attack[key];
  }

  /** Waits until the server is as before. Returns what is not. */
  async #recover(
    server: Child<ServerReport, ServerOrder>,
    before: State,
    files: ReadonlyMap<string, string>,
  ): Promise<string[]> {
    const deadline = performance.now() + PATIENCE_MS;
    for (let differences = ['the server does not answer']; ; ) {
      const previous = server.last;
      server.tell({ kind: 'look' });
      while (server.last === previous) {
        if (performance.now() > deadline) return differences;
        await delay(1);
      }
      differences = [];
      const differ = (what: string, was: number, is: number) => {
        if (was !== is) differences.push(`${what}: ${is} instead of ${was}`);
      };
      const after = server.last?.state as State;
      // A connection of the bystander may have other descriptors than before: their number counts.
      const open = fdTargets(server.pid);
      const added = [...open].filter(([fd]) => !files.has(fd)).map(([, target]) => target);
      differ(`open files, with ${added.join() || 'none added'}`, files.size, open.size);
      differ('connections', before.stats.connections, after.stats.connections);
      differ('undecided', before.stats.undecidedConnections, after.stats.undecidedConnections);
      differ('held descriptors', before.stats.heldFds, after.stats.heldFds);
      differ('receives', before.pendingReceives, after.pendingReceives);
      differ('closes', before.pendingCloses, after.pendingCloses);
      const more = after.usedBytes - before.usedBytes;
      if (more > MOST_LEFT_BYTES) differences.push(`${more} bytes of memory are left`);
      if (differences.length === 0 || performance.now() > deadline) return differences;
      await delay(50);
    }
  }
}
