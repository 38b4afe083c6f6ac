/** The cost of connections, held descriptors and waiting receives, and the time of a call as their number grows. */
import { setTimeout as delay } from 'node:timers/promises';
import { descriptorCount, descriptorLimit, residentBytes, usageOf } from '../lib/proc.js';
import { Rig } from '../lib/rig.js';
import { median } from '../lib/statistics.js';
import type { Suite } from '../lib/suite.js';

const CONNECTIONS = [100, 1000, 2000];
const HELD = [1000, 10_000];
const WAITS = [1000, 100_000];
const AT_A_TIME = 32;
/** Descriptors of one process: the held ones, those of the connections, and those that Node.js itself opens. */
const DESCRIPTORS_NEEDED = 13_000;
/** Descriptors sent between two calls. It is small, so that the sender has few duplicates at a time. */
const HOLD_BATCH = 500;
const IDLE_SECONDS = 7;
/** CPU time of two idle processes in a second that cannot be distinguished from none. */
const LEAST_CPU_MS = 1;

const CALLS = 200;

export async function scale(suite: Suite): Promise<void> {
  if (descriptorLimit() < DESCRIPTORS_NEEDED) {
    suite.note(`left out: RLIMIT_NOFILE is below ${DESCRIPTORS_NEEDED}`);
    return;
  }
  await using small = await Rig.start('ours');
  await using ours = await Rig.start('ours');
  await using stock = await Rig.start('stock');
  const grown = new Grown(suite, small, ours);

  let connections = 1;
  for (const count of CONNECTIONS) {
    suite.say(`${count} connections`);
    await connect(suite, ours, stock, connections, count);
    connections = count;
    await grown.compareCalls(`${format(count)} connections`);
    if (count === 1000) await compareIdle(suite, ours, stock);
  }
  await suite.compare({
    name: `a call at ${format(connections)} connections, against stock with as many`,
    ours: ours.side((client) => client.ask('unary', CALLS, 1, 32)),
    theirs: stock.side((client) => client.ask('unary', CALLS, 1, 32)),
    metric: { unit: 'µs', count: CALLS, as: 'each' },
    rounds: 9,
    warmUps: 5,
  });
  let held = 0;
  for (const count of HELD) {
    suite.say(`${count} held descriptors`);
    await grown.hold(count - held, count);
    held = count;
    await grown.compareCalls(`${format(connections)} connections and ${format(held)} held fds`);
  }
  let waits = 0;
  for (const count of WAITS) {
    suite.say(`${count} waits`);
    await grown.wait(count - waits, count);
    waits = count;
    await grown.compareCalls(`all of that and ${format(waits)} waits`);
  }
}

async function connect(suite: Suite, ours: Rig, stock: Rig, before: number, count: number): Promise<void> {
  const perConnection: Record<string, number>[] = [];
  for (const rig of [ours, stock]) {
    await rig.heap();
    const memory = residentOf(rig);
    const descriptors = descriptorsOf(rig);
    const seconds = await rig.client.ask('connect', count, AT_A_TIME);
    await rig.heap();
    const added = count - before;
    perConnection.push({
      µs: (seconds * 1e6) / added,
      'KiB of both processes': (residentOf(rig) - memory) / 1024 / added,
      'fds of both processes': (descriptorsOf(rig) - descriptors) / added,
    });
  }
  const [own = {}, theirs = {}] = perConnection;
  for (const unit of Object.keys(own))
    suite.count(
      `each connection, from ${format(before)} to ${format(count)}, against stock`,
      unit,
      own[unit] ?? 0,
      theirs[unit] ?? 0,
    );
}

/** Measures both sides at the same time while they are idle for some seconds. */
async function compareIdle(suite: Suite, ours: Rig, stock: Rig): Promise<void> {
  suite.say('1,000 idle connections');
  const cpuSeconds = ({ processes }: Rig) =>
    usageOf(processes.client).cpuSeconds + usageOf(processes.server).cpuSeconds;
  const seconds: { own: number; theirs: number }[] = [];
  for (let second = 0; second < IDLE_SECONDS; second++) {
    const before = { own: cpuSeconds(ours), theirs: cpuSeconds(stock) };
    await delay(1000);
    seconds.push({ own: cpuSeconds(ours) - before.own, theirs: cpuSeconds(stock) - before.theirs });
  }
  // The median, because at some moment V8 collects the garbage of the new connections.
  const used = (side: 'own' | 'theirs') =>
    Math.max(median(seconds.map((each) => each[side])) * 1e3, LEAST_CPU_MS);
  const unit = `CPU ms/s, ${LEAST_CPU_MS} at least`;
  suite.count('1,000 idle connections', unit, used('own'), used('theirs'));
}

/** The side that grows. The other side stays small: one connection, no held descriptor, no waiting receive. */
class Grown {
  readonly #suite: Suite;
  readonly #small: Rig;
  readonly #rig: Rig;

  constructor(suite: Suite, small: Rig, rig: Rig) {
    this.#suite = suite;
    this.#small = small;
    this.#rig = rig;
  }

  async compareCalls(where: string): Promise<void> {
    const metric = { unit: 'µs', count: CALLS, as: 'each' } as const;
    // A full collection also drops compiled code, so both sides have one.
    await this.#small.heap();
    await this.#rig.heap();
    await this.#suite.compare({
      name: `a call at ${where}`,
      ours: this.#rig.side((client) => client.ask('unary', CALLS, 1, 32)),
      theirs: this.#small.side((client) => client.ask('unary', CALLS, 1, 32)),
      metric,
      rounds: 9,
      warmUps: 5,
    });
    await this.#suite.compare({
      name: `a call with 1 fd at ${where}`,
      ours: this.#rig.side((client) => client.ask('take', CALLS, 1)),
      theirs: this.#small.side((client) => client.ask('take', CALLS, 1)),
      metric,
      rounds: 9,
      warmUps: 5,
    });
  }

  async hold(more: number, count: number): Promise<void> {
    const memory = await this.#rig.heap();
    let seconds = 0;
    for (let left = more; left > 0; left -= HOLD_BATCH) {
      seconds += await this.#rig.client.ask('hold', Math.min(left, HOLD_BATCH));
    }
    const held = await this.#rig.server.ask('held');
    if (held !== count) throw new Error(`the server holds ${held} descriptors, not ${count}`);
    const name = `each held fd, to ${format(count)}`;
    this.#suite.count(name, 'µs, sending included', (seconds * 1e6) / more);
    this.#suite.count(name, 'bytes of both processes', ((await this.#rig.heap()) - memory) / more);
  }

  async wait(more: number, count: number): Promise<void> {
    const memory = await this.#rig.heap();
    const seconds = await this.#rig.server.ask('wait', more);
    const name = `each wait, to ${format(count)}`;
    this.#suite.count(name, 'µs', (seconds * 1e6) / more);
    this.#suite.count(name, 'bytes', ((await this.#rig.heap()) - memory) / more);
  }
}

function residentOf({ processes }: Rig): number {
  return residentBytes(processes.client) + residentBytes(processes.server);
}

function descriptorsOf({ processes }: Rig): number {
  return descriptorCount(processes.client) + descriptorCount(processes.server);
}

function format(count: number): string {
  return count.toLocaleString('en-US');
}
