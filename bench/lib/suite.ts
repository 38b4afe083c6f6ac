import type { Cost, Pairs, Side } from './pairs.js';
import { runPairs } from './pairs.js';
import type { Progress } from './progress.js';
import { targetOf } from './targets.js';

/** CPU milliseconds of the client and the server, for the work of one run. */
export interface CpuTime {
  readonly client: number;
  readonly server: number;
}

/** A line of the table, and an element of the JSON's `results`. */
export interface Result {
  readonly bench: string;
  readonly case: string;
  /** The unit of `ours` and `theirs`. */
  readonly metric: string;
  readonly ours: number;
  /** null: there is nothing to compare with. */
  readonly theirs: number | null;
  /** The median of the ratios of the rounds. Larger is better. */
  readonly ratio: number | null;
  /** The quartiles of the ratio. */
  readonly low: number | null;
  readonly high: number | null;
  readonly target: number | null;
  readonly met: boolean | null;
  /** The times of one run, where they were measured. */
  readonly wallMs?: { readonly ours: number; readonly theirs: number };
  readonly cpuMs?: { readonly ours: CpuTime; readonly theirs: CpuTime };
}

/** How the seconds of a run are converted to the value that is shown. */
export interface Metric {
  readonly unit: string;
  /** How many units of work a run is. */
  readonly count: number;
  /** `rate`: units of work per second; `each`: milliseconds, or with `µs` in the unit microseconds, for one of them. */
  readonly as: 'rate' | 'each';
}

export interface Comparison {
  readonly name: string;
  readonly ours: Side;
  readonly theirs: Side;
  readonly metric: Metric;
  readonly rounds: number;
  readonly warmUps?: number;
}

/** Collects the results of the benchmarks. */
export class Suite {
  readonly results: Result[] = [];
  readonly notes: string[] = [];
  #bench = '';
  readonly #progress: Progress;
  readonly #rounds: number | undefined;

  /** @param rounds the number of rounds of every case, instead of the default of the case */
  constructor(progress: Progress, rounds: number | undefined) {
    this.#progress = progress;
    this.#rounds = rounds;
  }

  begin(bench: string): void {
    this.#bench = bench;
  }

  roundsOr(rounds: number): number {
    return this.#rounds ?? rounds;
  }

  say(text: string): void {
    this.#progress.show(`${this.#bench}: ${text}`);
  }

  /** Adds a note about a case that was left out or is measured in an unexpected way. */
  note(text: string): void {
    this.notes.push(`${this.#bench}: ${text}`);
  }

  async compare({ name, ours, theirs, metric, rounds, warmUps }: Comparison): Promise<Pairs> {
    const count = this.roundsOr(rounds);
    const pairs = await runPairs({
      ours,
      theirs,
      rounds: count,
      ...(warmUps === undefined ? {} : { warmUps }),
      onRound: (round) => this.say(`${name}, round ${round + 1} of ${count}`),
    });
    const { ratio, low, high } = pairs;
    this.#add(name, metric.unit, shownValue(metric, pairs.ours), shownValue(metric, pairs.theirs), {
      ratio,
      low,
      high,
      wallMs: { ours: pairs.ours.seconds * 1e3, theirs: pairs.theirs.seconds * 1e3 },
      ...(ours.processes && theirs.processes
        ? { cpuMs: { ours: cpuOf(pairs.ours), theirs: cpuOf(pairs.theirs) } }
        : {}),
    });
    return pairs;
  }

  /** Adds a value that is counted, not timed. Less is better. */
  count(name: string, unit: string, ours: number, theirs: number | null = null): void {
    const ratio = theirs === null ? null : theirs / ours;
    this.#add(name, unit, ours, theirs, { ratio, low: ratio, high: ratio });
  }

  #add(
    name: string,
    metric: string,
    ours: number,
    theirs: number | null,
    rest: Pick<Result, 'ratio' | 'low' | 'high' | 'wallMs' | 'cpuMs'>,
  ): void {
    const target = rest.ratio === null ? null : targetOf(this.#bench, name);
    const met = target === null || rest.ratio === null ? null : rest.ratio >= target;
    this.results.push({ bench: this.#bench, case: name, metric, ours, theirs, ...rest, target, met });
  }
}

function shownValue({ unit, count, as }: Metric, { seconds }: Cost): number {
  if (as === 'rate') return count / seconds;
  return (seconds / count) * (unit.startsWith('µs') ? 1e6 : 1e3);
}

function cpuOf({ clientCpuSeconds, serverCpuSeconds }: Cost): CpuTime {
  return { client: clientCpuSeconds * 1e3, server: serverCpuSeconds * 1e3 };
}
