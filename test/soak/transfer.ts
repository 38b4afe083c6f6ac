/** Sends and receives the descriptors of one process, and keeps account of them. */
import { join } from 'node:path';
import type { FdServerCall, FdTransceiver, ReceivedFile } from 'grpcfd';
import { type Book, increase, reasonOf } from './book.js';
import { makeItem, tokenIn } from './items.js';
import type { Task } from './messages.js';
import { LONG_DEADLINE_MS } from './plan.js';
import type { FileNote, ItemPlan } from './service.js';

/** How long a receive waits for a descriptor that does not come, so that it cannot be taken for a hang. */
const RECEIVE_MS = LONG_DEADLINE_MS;

export class Transfer {
  readonly #task: Task;
  readonly #book: Book;
  readonly #directory: string;
  readonly #swaps: boolean;
  /** Whether the leak that was asked for has not been made yet. */
  #leaks: boolean;
  #items = 0;

  constructor(task: Task, book: Book) {
    this.#task = task;
    this.#book = book;
    this.#directory = join(task.directory, 'items');
    this.#swaps = task.plants.includes('swap');
    this.#leaks = task.plants.includes('leak');
  }

  /** Sends new descriptors. Returns what names them. Throws what the package throws. */
  async give(fds: FdTransceiver, items: readonly ItemPlan[]): Promise<FileNote[]> {
    const notes: FileNote[] = [];
    for (const plan of items) {
      const token = `${this.#task.name}-${process.pid}-${++this.#items}`;
      const item = await makeItem(plan.kind, token, this.#directory);
      try {
        const { thing } = item;
        const sent = typeof thing === 'number' ? fds.sendFd(thing) : fds.sendFile(thing);
        this.#book.given(sent);
        notes.push({ ...plan, name: sent.ref, token });
      } finally {
        item.close();
      }
    }
    return this.#swapped(notes);
  }

  /** Receives what the notes name, but for what is to be left. Throws the first error when all receives are over. */
  async take(fds: FdTransceiver, notes: readonly FileNote[]): Promise<void> {
    const wanted = notes.filter(({ take }) => take);
    const results = await Promise.allSettled(wanted.map((note) => this.#takeOne(fds, note)));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /** Receives all that is attached to the call, in order. */
  async takeInOrder(fds: FdServerCall, notes: readonly FileNote[]): Promise<void> {
    let next = 0;
    try {
      for await (const file of fds.received()) {
        const note = notes[next++];
        if (note !== undefined) await this.#check(file, note);
        else this.#wrong(file, 'nothing', 'a file that was not named');
      }
    } catch (error) {
      increase(this.#book.own.notReceived, reasonOf(error), notes.length - next);
      throw error;
    }
    if (next < notes.length)
      this.#book.problem('wrong file', `received() gave ${next} of ${notes.length} files`);
  }

  async #takeOne(fds: FdTransceiver, note: FileNote): Promise<void> {
    let file: ReceivedFile;
    try {
      file = await fds.recvFile(note.name, { timeoutMs: RECEIVE_MS });
    } catch (error) {
      increase(this.#book.own.notReceived, reasonOf(error));
      throw error;
    }
    await this.#check(file, note);
  }

  /** Owns the file. What it does after the end of the call fails. */
  async #check(file: ReceivedFile, { kind, token }: FileNote): Promise<void> {
    const { own } = this.#book;
    if (this.#leaks) {
      this.#leaks = false;
      file.duplicate().release();
    }
    const { kind: seen } = file;
    let found: string;
    try {
      found = await tokenIn(file, kind, token);
    } catch (error) {
      increase(own.unchecked, reasonOf(error));
      throw error;
    }
    if (found === token) own.right++;
    else this.#wrong(file, token, `${seen} ${JSON.stringify(found.replace(/\0+$/, '').slice(0, 100))}`);
  }

  #wrong(file: ReceivedFile, promised: string, found: string): void {
    void file.close();
    this.#book.own.wrong++;
    this.#book.problem('wrong file', `promised ${promised}, and found ${found}`);
  }

  /** A planted fault: two descriptors of one kind have each other's names. */
  #swapped(notes: FileNote[]): FileNote[] {
    if (!this.#swaps) return notes;
    const one = notes.findIndex(({ kind }, at) => notes.findIndex((note) => note.kind === kind) < at);
    const other = notes.findIndex(({ kind }) => kind === notes[one]?.kind);
    const [first, second] = [notes[other], notes[one]];
    if (first === undefined || second === undefined || !first.take || !second.take) return notes;
    notes[other] = { ...first, name: second.name };
    notes[one] = { ...second, name: first.name };
    return notes;
  }
}
