/** `--deadline`: the end of all that `call` waits for. */
import * as grpc from '@grpc/grpc-js';
import { setTimeout } from '../../timers.js';
import { DeadlinePassed } from '../deadline-passed.js';
import type { Failure } from '../failure.js';

/** A longer time would fire at once. */
const LONGEST_MS = 2 ** 31 - 1;

/** After it, the deadline of the call has told by itself what the server was waited for. */
const GRACE_MS = 1000;

export class Deadline {
  readonly #ms: number | undefined;
  /** When it passes. Undefined: never. */
  readonly at: number | undefined;
  /** What is waited for, other than the server. */
  readonly #waits = new Set<string>();

  constructor(ms: number | undefined) {
    this.#ms = ms;
    this.at = ms === undefined ? undefined : Date.now() + ms;
  }

  /** At least 1. Undefined without a deadline. */
  get leftMs(): number | undefined {
    return this.at === undefined ? undefined : Math.max(1, this.at - Date.now());
  }

  /** Something other than the server is waited for. */
  get isWaiting(): boolean {
    return this.#waits.size > 0;
  }

  /** Waits for `promise`, which is known as `what` in the text of the failure. */
  async during<Result>(what: string, promise: Promise<Result>): Promise<Result> {
    this.#waits.add(what);
    try {
      return await promise;
    } finally {
      this.#waits.delete(what);
    }
  }

  /** The result of `work`, which fails when the deadline passes. `work` goes on then, until the process ends. */
  run<Result>(work: Promise<Result>): Promise<Result> {
    const { leftMs } = this;
    if (leftMs === undefined) return work;
    const passed = new Promise<never>((_, reject) => {
      setTimeout(
        () => {
          if (this.isWaiting) reject(this.failure());
          else setTimeout(() => reject(this.failure()), GRACE_MS);
        },
        Math.min(leftMs, LONGEST_MS),
      );
    });
    return Promise.race([work, passed]);
  }

  failure(): Failure {
    const what = [...this.#waits].join(' and ') || 'the server';
    return new DeadlinePassed(
      `DEADLINE_EXCEEDED: the deadline of ${this.#ms} ms has passed, and the tool still waits for ${what}`,
      grpc.status.DEADLINE_EXCEEDED,
    );
  }
}
