/** Tells whether our library lets a script end as stock may let it end. */
import type { Library } from './library.js';
import type { Outcome } from './run.js';

/** Runs the script once. The number of the attempt varies its timing; 0 does not. */
export type RunOnce = (library: Library, attempt: number) => Promise<Outcome>;

export interface Difference {
  /** Whose record differs: `call 0`, `descriptors left`, … */
  readonly subject: string;
  readonly ours: string;
  /** All that stock gave in its attempts. */
  readonly stock: readonly string[];
}

export interface Verdict {
  /** Stock does not always end this script in the same way. */
  readonly racy: boolean;
  readonly differences: readonly Difference[];
}

const NOTHING = 'nothing';
/** How often stock is tried before an outcome of ours counts as one of ours alone. */
const STOCK_ATTEMPTS = 8;
/** How often ours has to be tried in vain before an odd outcome is let go. */
const OUR_ATTEMPTS = 3;
const MORE_STOCK_ATTEMPTS = 80;

/**
 * One run of each where they agree. Where they do not, stock is run again, for all that it may do; what ours did is a
 * difference if it does something again that stock never does. Records are compared one by one, not as a whole: with
 * several races in a script, stock would seldom give the very combination.
 */
export async function compare(run: RunOnce): Promise<Verdict> {
  const stock = new Seen();
  stock.add(await run('stock', 0));
  const ours = await run('ours', 0);
  if (stock.lacks(ours).length === 0) return { racy: false, differences: [] };
  for (let attempt = 1; attempt < STOCK_ATTEMPTS && stock.lacks(ours).length > 0; attempt++) {
    stock.add(await run('stock', attempt));
  }
  if (stock.lacks(ours).length === 0) return { racy: true, differences: [] };
  for (let attempt = 1; attempt <= OUR_ATTEMPTS; attempt++) {
    const again = await run('ours', attempt);
    const odd = stock.lacks(again);
    if (odd.length === 0) continue;
    for (let more = STOCK_ATTEMPTS; more < MORE_STOCK_ATTEMPTS && stock.lacks(again).length > 0; more++) {
      stock.add(await run('stock', more));
    }
    const differences = stock.lacks(again);
    if (differences.length > 0) return { racy: stock.racy, differences };
  }
  return { racy: true, differences: [] };
}

/** What was seen of a library, over all attempts. */
class Seen {
  readonly #records = new Map<string, Set<string>>();
  #attempts = 0;

  get racy(): boolean {
    return [...this.#records.values()].some(({ size }) => size > 1);
  }

  add(outcome: Outcome): void {
    for (const subject of new Set([...this.#records.keys(), ...Object.keys(outcome)])) {
      let records = this.#records.get(subject);
      if (records === undefined) {
        // It was not there in the attempts so far.
        records = new Set(this.#attempts > 0 ? [NOTHING] : []);
        this.#records.set(subject, records);
      }
      records.add(outcome[subject] ?? NOTHING);
    }
    this.#attempts++;
  }

  lacks(outcome: Outcome): Difference[] {
    const subjects = new Set([...this.#records.keys(), ...Object.keys(outcome)]);
    return [...subjects].sort(byInterest).flatMap((subject) => {
      const ours = outcome[subject] ?? NOTHING;
      const stock = this.#records.get(subject) ?? new Set([NOTHING]);
      return stock.has(ours) ? [] : [{ subject, ours, stock: [...stock] }];
    });
  }
}

/** What users see comes before what only the raw peer sees. */
function byInterest(a: string, b: string): number {
  return Number(isOfPeer(a)) - Number(isOfPeer(b)) || (a < b ? -1 : 1);
}

function isOfPeer(subject: string): boolean {
  return subject.startsWith('connection ');
}
