/** Compares the scripts of many seeds, in several processes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isExplained } from '../explained.js';
import { generate } from '../generate/generate.js';
import type { Script } from '../script.js';
import { describeFinding, type Finding } from './describe.js';
import { minimise, signature, type Try } from './minimise.js';
import { compareExits, isOfExit } from './process-exit.js';
import { Tally } from './tally.js';
import { type Result, WorkerProcess } from './worker-process.js';

export interface ConformanceOptions {
  /** In this order; an endless one is cut by the other limits. */
  readonly seeds: Iterable<number>;
  readonly scripts: number;
  readonly deadline: number;
  readonly workers: number;
  /** So many findings end the run. */
  readonly failures: number;
  readonly wanted: (script: Script) => boolean;
  /** Called after each script. */
  readonly onProgress?: (tally: Tally) => void;
  readonly onFinding: (text: string) => void;
}

/** Without a report for so long, a process has frozen. */
const PATIENCE_MS = 10_000;
/** Enough for a script that froze its process already. */
const SHORT_PATIENCE_MS = 4_000;
/** A new process after so many scripts: what one script leaves behind must not spoil thousands. */
const SCRIPTS_OF_A_PROCESS = 500;
const REPEATS = 3;
/** Of so many scripts of a raw server one is run once more, to see whether its process ends. */
const SCRIPTS_OF_AN_EXIT = 100;
/** So many findings of a kind are cut down to what they need. The rest would say the same, and take minutes. */
const MINIMISED_OF_A_KIND = 2;

export async function conformance(options: ConformanceOptions): Promise<Tally> {
  const directory = mkdtempSync(join(tmpdir(), 'grpcfd-'));
  try {
    const run = new ConformanceRun(options, directory);
    await Promise.all(Array.from({ length: options.workers }, () => run.work()));
    return run.tally;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

class ConformanceRun {
  readonly tally = new Tally();
  readonly #options: ConformanceOptions;
  readonly #directory: string;
  readonly #seeds: Iterator<number>;
  readonly #minimised = new Map<string, number>();
  #started = 0;
  #rawServers = 0;

  constructor(options: ConformanceOptions, directory: string) {
    this.#options = options;
    this.#directory = directory;
    this.#seeds = options.seeds[Symbol.iterator]();
  }

  /** What one of the workers does. */
  async work(): Promise<void> {
    let worker = new WorkerProcess(this.#directory);
    let compared = 0;
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      if (!worker.usable || compared++ === SCRIPTS_OF_A_PROCESS) {
        worker.stop();
        worker = new WorkerProcess(this.#directory);
        compared = 0;
      }
      const [seed, script] = next;
      let result = await worker.compare(script, PATIENCE_MS);
      const looksAtExit = script.family === 'raw server' && this.#rawServers++ % SCRIPTS_OF_AN_EXIT === 0;
      if (result.kind === 'same' && looksAtExit) result = await compareExits(script, this.#directory);
      await this.#note(seed, script, result);
      this.#options.onProgress?.(this.tally);
    }
    worker.stop();
  }

  #next(): [number, Script] | undefined {
    const { scripts, deadline, failures, wanted } = this.#options;
    for (;;) {
      if (this.#started >= scripts || Date.now() > deadline) return undefined;
      if (this.tally.total('differences') >= failures) return undefined;
      const { value: seed, done } = this.#seeds.next();
      if (done) return undefined;
      const script = generate(seed);
      if (!wanted(script)) continue;
      this.#started++;
      return [seed, script];
    }
  }

  async #note(seed: number, script: Script, result: Result): Promise<void> {
    this.tally.count(script, 'scripts');
    if (result.kind === 'same') {
      if (result.racy) this.tally.count(script, 'racy');
    } else if (result.kind === 'different' && isExplained(result.differences)) {
      this.tally.count(script, 'explained');
    } else {
      const finding = await this.#lookInto(seed, script, result);
      if (breaksStock(result) || breaksStock(finding.smallestResult)) {
        this.tally.count(script, 'explained');
        return;
      }
      const counts = result.kind !== 'different' || finding.repeated;
      this.tally.count(script, counts ? 'differences' : 'unrepeated');
      this.#options.onFinding(describeFinding(finding));
    }
  }

  async #lookInto(seed: number, script: Script, result: Result): Promise<Finding> {
    let worker = new WorkerProcess(this.#directory);
    const attempt: Try = async (candidate) => {
      if (isOfExit(result) && candidate.family === 'raw server')
        return compareExits(candidate, this.#directory);
      if (!worker.usable) worker = new WorkerProcess(this.#directory);
      return worker.compare(candidate, SHORT_PATIENCE_MS);
    };
    let repeated = false;
    for (let repeat = 0; repeat < REPEATS && !repeated; repeat++) {
      repeated = signature(await attempt(script)) === signature(result);
    }
    const [smallest, smallestResult] =
      repeated && this.#isWorthIt(script, result)
        ? await minimise(script, result, attempt)
        : ([script, result] as const);
    worker.stop();
    return { seed, script, result, smallest, smallestResult, repeated };
  }

  #isWorthIt({ family, security }: Script, result: Result): boolean {
    if (result.kind !== 'different') return true;
    const kind = `${family}, ${security}, ${signature(result)}`;
    const before = this.#minimised.get(kind) ?? 0;
    this.#minimised.set(kind, before + 1);
    return before < MINIMISED_OF_A_KIND;
  }
}

/**
 * Whether stock breaks, with the script or with what it comes down to: in Node.js 20, HTTP/2 freezes when a listener ends the session in the
 * middle of some frames, and later versions abort the process.
 */
function breaksStock(result: Result): boolean {
  return (result.kind === 'freeze' || result.kind === 'crash') && result.library === 'stock';
}
