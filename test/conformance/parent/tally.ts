/** How many scripts ended how, for each family and transport. */

import { TRANSPORTS } from '../library.js';
import { FAMILIES, type Script } from '../script.js';

export type Count = 'scripts' | 'racy' | 'explained' | 'unrepeated' | 'differences';

type Row = Record<Count, number>;

export class Tally {
  readonly #rows = new Map<string, Row>();

  constructor() {
    for (const family of FAMILIES) {
      for (const security of TRANSPORTS) this.#rows.set(nameOf({ family, security }), newRow());
    }
  }

  count(script: Script, ...counts: Count[]): void {
    const row = this.#rows.get(nameOf(script));
    if (row !== undefined) for (const count of counts) row[count]++;
  }

  total(count: Count): number {
    return [...this.#rows.values()].reduce((sum, row) => sum + row[count], 0);
  }

  /** For console.table. */
  get table(): Record<string, Row> {
    const all = newRow();
    for (const count of Object.keys(all) as Count[]) all[count] = this.total(count);
    return { ...Object.fromEntries([...this.#rows].filter(([, { scripts }]) => scripts > 0)), all };
  }
}

function nameOf({ family, security }: Pick<Script, 'family' | 'security'>): string {
  return `${family}, ${security}`;
}

function newRow(): Row {
  return { scripts: 0, racy: 0, explained: 0, unrepeated: 0, differences: 0 };
}
