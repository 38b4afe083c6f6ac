/** What the groups of processes of a soak have in common. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Random, randomFrom } from '../support/random.js';
import { Child } from '../support/reporting-child.js';
import type { Counts, Fault, Order, Plant, Problem, Report, Task } from './messages.js';
import { Party } from './party.js';
import { LONG_DEADLINE_MS } from './plan.js';

/** A process that gives no sign of life for so long has frozen. */
const FREEZE_MS = 120_000;
/** For an order. The last calls run to their deadline, and to the time that a hang is given. */
const PATIENCE_MS = 3 * LONG_DEADLINE_MS;

/** The process that makes a planted fault. */
const PLANTED_IN: Record<Plant, string> = { leak: 'server', swap: 'client', hang: 'client' };

export interface CellOptions {
  readonly name: string;
  readonly seed: number;
  readonly directory: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly task: Pick<Task, 'security' | 'grpcOptions' | 'mayBreak' | 'plants' | 'hangMs' | 'certs' | 'bin'>;
}

export interface Member {
  readonly party: Party;
  readonly child: Child<Report, Order>;
}

/** A server and its clients. */
export abstract class Cell {
  readonly name: string;
  readonly parties: Party[] = [];
  readonly problems: Problem[] = [];
  /** Of what its parent does: kills, restarts, calls of Go clients. */
  readonly counts: Counts = {};
  protected readonly random: Random;
  protected readonly options: CellOptions;
  protected isOver = false;
  readonly #members = new Set<Member>();
  #started = 0;

  constructor(options: CellOptions) {
    this.name = options.name;
    this.options = options;
    this.random = randomFrom(options.seed);
  }

  /** Starts its processes. */
  abstract start(): Promise<void>;
  /** Kills and restarts its processes until {@link end}. */
  protected abstract disturb(): Promise<void>;
  /** Ends all processes that run, in order. */
  protected abstract finish(): Promise<void>;
  /** Ends everything at once. */
  kill(): void {
    for (const { child } of this.#members) child.kill('SIGKILL');
  }

  /** Resolves when all has ended after `over`. Its processes have started. */
  async run(over: Promise<unknown>): Promise<void> {
    const disturbance = this.disturb();
    await Promise.race([over, disturbance]);
    await over;
    this.isOver = true;
    await disturbance;
    await this.finish();
  }

  /** Looks at all processes. */
  sample(): void {
    for (const party of this.parties) party.sample();
    for (const member of this.#members) {
      const { party, child } = member;
      party.report = child.last ?? party.report;
      if (party.fate !== 'runs') continue;
      if (child.ended !== undefined) this.problem('crash', `${party.name} ended with ${child.ended}`);
      else if (performance.now() - child.heardAt > FREEZE_MS) {
        this.problem('hang', `${party.name} gives no sign of life`);
        child.kill('SIGKILL');
      } else continue;
      party.fate = 'killed';
      this.#members.delete(member);
    }
  }

  count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  problem(fault: Fault, text: string): void {
    this.problems.push({ fault, text: `${this.name}: ${text}` });
  }

  /** Starts a process. Its random numbers follow from the seed and from how many processes were started before. */
  protected launch(program: string, name: string): Member {
    const { seed, directory, environment, task } = this.options;
    const plants = task.plants.filter((plant) => PLANTED_IN[plant] === name);
    const each: Task = { ...task, plants, directory, name, seed: seed + 1_000 * ++this.#started };
    const child = new Child<Report, Order>(
      new URL(program, import.meta.url),
      [JSON.stringify(each)],
      environment,
    );
    const member = { child, party: new Party(`${this.name}: ${name}`, 'Node', child.pid) };
    this.parties.push(member.party);
    this.#members.add(member);
    return member;
  }

  protected async kill9({ child, party }: Member): Promise<void> {
    party.fate = 'killed';
    child.kill('SIGKILL');
    await child.exit();
    party.report = child.last;
    this.count('kill -9');
  }

  protected ready({ child }: Member): Promise<void> {
    return child.until('ready', PATIENCE_MS);
  }

  protected async order(member: Member, kind: 'serve' | 'calm'): Promise<void> {
    member.child.tell({ kind });
    await member.child.until(kind === 'serve' ? 'serving' : 'calm', PATIENCE_MS);
  }

  protected async end(member: Member): Promise<void> {
    member.party.fate = 'ending';
    member.child.tell({ kind: 'finish' });
    await member.child.until('finished', PATIENCE_MS);
    member.party.report = member.child.last;
    member.party.fate = 'finished';
    member.party.left = member.party.report?.problems.filter(({ fault }) => fault === 'leak').length ?? 0;
    this.#members.delete(member);
    const how = await member.child.exit();
    if (how !== '0') this.problem('crash', `${member.party.name} ended with ${how}`);
  }

  /** Waits for so long, or until the soak is over. Resolves to whether it goes on. */
  protected async rest(atLeastMs: number, spreadMs: number): Promise<boolean> {
    const until = performance.now() + atLeastMs + this.random(spreadMs);
    while (!this.isOver && performance.now() < until) await delay(20);
    return !this.isOver;
  }
}
