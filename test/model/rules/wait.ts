import { type Copy, File } from './descriptor.js';
import type { End, Place } from './end.js';
import type { Pipe } from './pipe.js';

/** A receive by URL that waits. The file that it is to give has the number of the wait. */
export class Wait {
  /** What it came to: a copy, or the reasons for which it may have failed. */
  outcome: { readonly copy: Copy } | { readonly fails: readonly string[] } | undefined;
  file: File | undefined;
  readonly #ends = new Set<End>();

  constructor(
    readonly id: number,
    readonly pipe: Pipe,
    readonly place: Place,
    readonly asFile: boolean,
    readonly onSettled: (wait: Wait) => void,
  ) {}

  listen(end: End): void {
    this.#ends.add(end);
    end.waits.add(this);
  }

  resolve(copy: Copy): void {
    if (this.outcome !== undefined) return;
    this.outcome = { copy };
    this.file = new File(this.id, [copy], this.place, this.asFile, this.pipe);
    this.#settled();
  }

  fail(...reasons: string[]): void {
    if (this.outcome !== undefined) return;
    this.outcome = { fails: reasons };
    this.#settled();
  }

  #settled(): void {
    for (const end of this.#ends) end.waits.delete(this);
    this.onSettled(this);
  }
}
