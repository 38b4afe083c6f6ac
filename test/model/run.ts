/** Runs histories at random until one of them shows a fault, and shortens that one. */
import * as fc from 'fast-check';
import { Mismatch } from './mismatch.js';
import { histories } from './steps/arbitrary.js';
import { type Surroundings, World } from './world.js';

export interface RunOptions {
  readonly seed: number;
  readonly histories: number;
  /** No history begins later, in the time of `performance.now()`. */
  readonly deadline: number;
  readonly surroundings: Omit<Surroundings, 'patienceMs'>;
  /** Nothing takes longer. Default: 15 s, because what has to happen may take a while on a busy machine. */
  readonly patienceMs?: number;
  /** Whether a history that shows a fault is shortened. Default: true. */
  readonly shortens?: boolean;
  /** Of a history that was found before. */
  readonly repeat?: Repeat | undefined;
}

/** Where a history is among those of a seed. */
export interface Repeat {
  readonly path: string;
  readonly replay: string;
}

/** A history in which the package and the model disagree. */
export interface Finding {
  readonly seed: number;
  /** The number of the history that showed it. */
  readonly histories: number;
  readonly what: string;
  /** The shortest history that shows it: those between two lines of dashes run at the same time. */
  readonly steps: readonly string[];
  readonly repeat: Repeat;
}

const MAX_STEPS = 200;
const PATIENCE_MS = 15_000;
/** It has been seen that it does not happen. */
const SHORT_PATIENCE_MS = 1_000;
/** A history is not shortened for longer. */
const SHORTENING_MS = 45_000;

export async function runHistories(options: RunOptions): Promise<Finding | undefined> {
  const surroundings = { ...options.surroundings, patienceMs: options.patienceMs ?? PATIENCE_MS };
  let { deadline } = options;
  let found: { error: unknown; world: World } | undefined;
  const run = async (steps: Parameters<typeof fc.asyncModelRun>[1]) => {
    if (performance.now() > deadline) return;
    const world = new World(surroundings);
    world.count('histories');
    try {
      await world.begin();
      await fc.asyncModelRun(() => ({ model: world.model, real: world }), steps as never);
      await world.finish();
    } catch (error) {
      if (found === undefined) {
        deadline = performance.now() + SHORTENING_MS;
        surroundings.patienceMs = SHORT_PATIENCE_MS;
      }
      found = { error, world };
      await world.abandon().catch(() => {});
      throw error;
    }
  };
  const { seed, repeat } = options;
  const result = await fc.check(fc.asyncProperty(histories(MAX_STEPS, repeat?.replay), run), {
    seed,
    numRuns: options.histories,
    endOnFailure: repeat !== undefined || options.shortens === false,
    ...(repeat === undefined ? {} : { path: repeat.path }),
  });
  if (!result.failed || found === undefined) return undefined;
  const [, replay = ''] = /replayPath="([^"]*)"/.exec(String(result.counterexample?.[0])) ?? [];
  const { error, world } = found;
  return {
    seed,
    histories: result.numRuns,
    what: error instanceof Mismatch ? error.message : String((error as Error)?.stack ?? error),
    steps: world.history,
    repeat: { path: result.counterexamplePath ?? '', replay },
  };
}

export function describeFinding(finding: Finding, security: string): string {
  const { seed, histories, what, steps, repeat } = finding;
  return [
    what,
    `Seed ${seed}, ${security}, history ${histories}. The shortest history that shows it (steps between dashes run at the same time):`,
    ...steps.map((step) => `  ${step}`),
    'Repeat it with:',
    `  npm run test:model -- --security '${security}' --seed ${seed} --path '${repeat.path}' --replay '${repeat.replay}'`,
  ].join('\n');
}
