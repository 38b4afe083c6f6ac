// A process that runs histories for its parent, until the time is over or one of them shows a fault.
import { mkdirSync } from 'node:fs';
import type { Security } from '../support/service.js';
import { inOtherProcess, inThisProcess } from './real/surroundings.js';
import { describeFinding, type Repeat, runHistories } from './run.js';
import { Tally } from './tally.js';

export interface Task {
  readonly seed: number;
  readonly milliseconds: number;
  readonly securities: readonly Security[];
  readonly serversApart: boolean;
  readonly directory: string;
  readonly repeat: Repeat | undefined;
}

export type Report =
  /** These histories begin. Where the process freezes, this is its last word. */
  | { readonly kind: 'begins'; readonly what: string }
  | { readonly kind: 'counts'; readonly counts: ReadonlyMap<string, number> }
  | { readonly kind: 'finding'; readonly text: string }
  | { readonly kind: 'done' };

/** With the same seed. */
const HISTORIES = 20;

function report(report: Report): void {
  process.send?.(report);
}

process.once('message', async (task: Task) => {
  const { seed, milliseconds, securities, serversApart, directory, repeat } = task;
  const deadline = performance.now() + milliseconds;
  mkdirSync(directory);
  const start = serversApart ? inOtherProcess : inThisProcess;
  const tally = new Tally();
  const all = await Promise.all(
    securities.map(async (security) => ({ security, ...(await start(directory, security, tally)) })),
  );
  let sound = true;
  for (let round = 0; sound && performance.now() < deadline; round++) {
    const { security, surroundings } = all[round % all.length] as (typeof all)[number];
    const own = seed + Math.floor(round / all.length);
    report({ kind: 'begins', what: `seed ${own}, ${security}` });
    const finding = await runHistories({ seed: own, histories: HISTORIES, deadline, surroundings, repeat });
    if (finding !== undefined) report({ kind: 'finding', text: describeFinding(finding, security) });
    report({ kind: 'counts', counts: new Map(tally.counts) });
    tally.counts.clear();
    sound = finding === undefined && repeat === undefined;
  }
  for (const { stop } of all) stop();
  report({ kind: 'done' });
  process.disconnect();
});
