/** What one end does with the descriptors that it receives in a history. */

import { closeSync, writeSync } from 'node:fs';
import type { FdServerCall, FdTransceiver, GrpcFdError, ReceivedFile } from 'grpcfd';
import { descriptorTable } from '../../support/fd-table.js';
import { type Identity, identityOf } from './pipes.js';

/** A descriptor that was received, and the number by which the history knows it. */
export interface Received extends Identity {
  readonly file: number;
}

/** What became of a receive. */
export type Outcome =
  | { readonly kind: 'received'; readonly files: readonly Received[] }
  | {
      readonly kind: 'failed';
      readonly reason: string;
      readonly details: string;
      /** What it gave before. */
      readonly files: readonly Received[];
    }
  /** It may still come. `Hands.outcome` tells more, later. */
  | { readonly kind: 'waits' };

export interface Receive {
  /** The number for the file. */
  readonly file: number;
  readonly name: string;
  readonly keep: boolean;
  /** `recvFile`, and not `recvFd`. */
  readonly asFile: boolean;
}

type Receiver = Pick<FdTransceiver, 'recvFd'> & Partial<Pick<FdTransceiver, 'recvFile' | 'recvFiles'>>;

interface Owned {
  readonly fd: number;
  close(): unknown;
  duplicate?(): Owned;
}

export class Hands {
  readonly #files = new Map<number, Owned>();
  readonly #waits = new Map<
    number,
    { readonly outcome: Promise<Outcome>; readonly abort: AbortController }
  >();

  async receive(from: Receiver, { file, name, keep, asFile }: Receive): Promise<Outcome> {
    const abort = new AbortController();
    const { signal } = abort;
    const receiving =
      asFile && from.recvFile !== undefined
        ? from.recvFile(name, { keep, signal })
        : from.recvFd(name, { keep, signal }).then((fd) => ({ fd, close: () => closeSync(fd) }));
    const outcome = receiving.then((owned) => received([this.#keep(file, owned)]), failed);
    // What is here is given within this turn of the event loop.
    const early = await Promise.race([outcome, nextTurn()]);
    if (early !== undefined) return early;
    this.#waits.set(file, { outcome, abort });
    return { kind: 'waits' };
  }

  /** `recvFiles`, with a field for each name. The number of the first file is `file`. */
  async receiveSeveral(
    from: FdTransceiver,
    names: readonly string[],
    { file, keep }: Pick<Receive, 'file' | 'keep'>,
  ): Promise<Outcome> {
    const fields = names.map((_, index) => `field${index}`);
    const message = Object.fromEntries(fields.map((field, index) => [field, names[index] ?? '']));
    const outcome = from.recvFiles(message, fields, { keep }).then((files) => {
      return received(fields.map((field, index) => this.#keep(file + index, files[field] as ReceivedFile)));
    }, failed);
    // It closes what came in the thread pool.
    return outcome;
  }

  /** Everything that `received()` gives. */
  async receiveAll(from: FdServerCall, file: number): Promise<Outcome> {
    const files: Received[] = [];
    try {
      for await (const each of from.received()) files.push(this.#keep(file + files.length, each));
    } catch (error) {
      return { ...failed(error), files };
    }
    return received(files);
  }

  /** The outcome of a receive that waits, or has waited. */
  async outcome(file: number): Promise<Outcome> {
    const wait = this.#waits.get(file);
    if (wait === undefined) throw new Error(`no receive of file ${file} waits`);
    const outcome = await wait.outcome;
    this.#waits.delete(file);
    return outcome;
  }

  async abort(file: number): Promise<void> {
    this.#waits.get(file)?.abort.abort();
  }

  /** `duplicate()` of a `ReceivedFile`. */
  async duplicate(file: number, duplicate: number): Promise<Outcome> {
    const own = this.#owned(file).duplicate?.();
    if (own === undefined) throw new Error(`file ${file} is no ReceivedFile`);
    return received([this.#keep(duplicate, own)]);
  }

  async close(file: number): Promise<void> {
    const owned = this.#owned(file);
    this.#files.delete(file);
    await owned.close();
  }

  /** What is open in this process. */
  async descriptors(): Promise<string[]> {
    return [...descriptorTable().keys()].map(String);
  }

  async closeAll(): Promise<void> {
    for (const { abort } of this.#waits.values()) abort.abort();
    this.#waits.clear();
    for (const file of [...this.#files.keys()]) await this.close(file);
  }

  #owned(file: number): Owned {
    const owned = this.#files.get(file);
    if (owned === undefined) throw new Error(`there is no file ${file}`);
    return owned;
  }

  #keep(file: number, owned: Owned): Received {
    this.#files.set(file, owned);
    try {
      writeSync(owned.fd, textOf(file));
    } catch {
      // It is no end of a pipe, as its identity shows.
    }
    return { file, ...identityOf(owned.fd) };
  }
}

/** What the receiver of a file writes into it. */
export function textOf(file: number): string {
  return `${file};`;
}

function received(files: readonly Received[]): Outcome {
  return { kind: 'received', files };
}

function failed(error: unknown): Outcome & { kind: 'failed' } {
  const { reason, details } = error as Partial<GrpcFdError>;
  if (reason === undefined || details === undefined) throw error;
  return { kind: 'failed', reason: reason.replace('ERR_GRPCFD_', ''), details, files: [] };
}

function nextTurn(): Promise<undefined> {
  return new Promise((resolve) => setImmediate(resolve, undefined));
}
