/** Two sides that do the same work in turn, so that other work of the machine falls on both. */
import { type Processes, usageOf } from './proc.js';
import { median, quantile } from './statistics.js';

/** One of the two sides. */
export interface Side {
  /** Does the work once, and returns the seconds that it took. */
  run(): Promise<number>;
  /** Absent when each run is a new process, whose CPU time is not known. */
  readonly processes?: Processes;
}

/** The cost of one run. All but the seconds are 0 when the processes are not known. */
export interface Cost {
  readonly seconds: number;
  readonly clientCpuSeconds: number;
  readonly serverCpuSeconds: number;
  /** Of both processes. */
  readonly contextSwitches: number;
}

export interface Pairs {
  /** The median of each value by itself. */
  readonly ours: Cost;
  readonly theirs: Cost;
  /** The median of the ratios of each round, and its quartiles: larger is better for this package. */
  readonly ratio: number;
  readonly low: number;
  readonly high: number;
}

export interface PairOptions {
  readonly ours: Side;
  readonly theirs: Side;
  readonly rounds: number;
  /** Runs of each side before the first round, so that the code is compiled. */
  readonly warmUps?: number;
  readonly onRound?: (round: number) => void;
}

/** The side that goes first changes with every round. */
export async function runPairs({ ours, theirs, rounds, warmUps = 2, onRound }: PairOptions): Promise<Pairs> {
  for (let turn = 0; turn < warmUps; turn++) {
    await ours.run();
    await theirs.run();
  }
  const costs: { ours: Cost; theirs: Cost }[] = [];
  for (let round = 0; round < rounds; round++) {
    onRound?.(round);
    if (round % 2 === 0) {
      const first = await measure(theirs);
      costs.push({ theirs: first, ours: await measure(ours) });
    } else {
      const first = await measure(ours);
      costs.push({ ours: first, theirs: await measure(theirs) });
    }
  }
  const ratios = costs.map((each) => each.theirs.seconds / each.ours.seconds);
  return {
    ours: medianCost(costs.map((each) => each.ours)),
    theirs: medianCost(costs.map((each) => each.theirs)),
    ratio: median(ratios),
    low: quantile(ratios, 0.25),
    high: quantile(ratios, 0.75),
  };
}

async function measure({ run, processes }: Side): Promise<Cost> {
  if (processes === undefined)
    return { seconds: await run(), clientCpuSeconds: 0, serverCpuSeconds: 0, contextSwitches: 0 };
  const before = { client: usageOf(processes.client), server: usageOf(processes.server) };
  const seconds = await run();
  const client = usageOf(processes.client);
  const server = usageOf(processes.server);
  return {
    seconds,
    clientCpuSeconds: client.cpuSeconds - before.client.cpuSeconds,
    serverCpuSeconds: server.cpuSeconds - before.server.cpuSeconds,
    contextSwitches:
      client.contextSwitches +
      server.contextSwitches -
      before.client.contextSwitches -
      before.server.contextSwitches,
  };
}

function medianCost(costs: readonly Cost[]): Cost {
  const of = (key: keyof Cost) => median(costs.map((cost) => cost[key]));
  return {
    seconds: of('seconds'),
    clientCpuSeconds: of('clientCpuSeconds'),
    serverCpuSeconds: of('serverCpuSeconds'),
    contextSwitches: of('contextSwitches'),
  };
}
