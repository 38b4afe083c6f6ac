/** What the client and the server processes of a soak have in common: how they obey their parent, and look for leaks. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type DescriptorTable, descriptorTable } from '../support/fd-table.js';
import { leaksSince } from '../support/leaks.js';
import { Book } from './book.js';
import type { Order, Report, Task } from './messages.js';

const BEAT_MS = 250;
/** After the last call, for what is closed or settled in later turns. */
const SETTLE_MS = 5_000;

const EVENTS_MS = 50;

export type Orders = { [Kind in Order['kind']]?: () => Promise<void> };

const ANSWERS = { serve: 'serving', calm: 'calm', finish: 'finished' } as const;

export class SoakChild {
  readonly task: Task = JSON.parse(process.argv[2] ?? '{}');
  readonly book: Book;
  #before: DescriptorTable = new Map();

  constructor(hasOwnCounts = true) {
    this.book = new Book(hasOwnCounts);
    mkdirSync(join(this.task.directory, 'items'), { recursive: true });
    // The parent has gone.
    process.once('disconnect', () => process.exit(1));
  }

  /** Call this when the process has opened all that it keeps. */
  obey(orders: Orders): void {
    this.#before = descriptorTable();
    const beat = setInterval(() => this.#send('alive'), BEAT_MS);
    process.on('message', async (order: Order) => {
      if (order.kind === 'finish') this.book.isEnding = true;
      await orders[order.kind]?.();
      if (order.kind === 'finish') {
        await this.#lookForLeaks();
        clearInterval(beat);
        process.removeAllListeners('disconnect');
      }
      this.#send(ANSWERS[order.kind], () => {
        if (order.kind === 'finish') process.disconnect();
      });
    });
    this.#send('ready');
  }

  async #lookForLeaks(): Promise<void> {
    const { book } = this;
    for (let waited = 0; book.unsettled > 0 && waited < SETTLE_MS; waited += 10) await delay(10);
    if (book.unsettled > 0) book.problem('hang', `sent of ${book.unsettled} descriptors does not settle`);
    // The events of the package come in a later turn.
    await delay(EVENTS_MS);
    for (const target of await leaksSince(this.#before)) {
      book.problem('leak', `${this.task.name} left a descriptor: ${target}`);
    }
  }

  #send(kind: Report['kind'], onSent: () => void = () => {}): void {
    // The parent may have gone.
    process.send?.(this.book.report(kind), undefined, undefined, onSent);
  }
}
