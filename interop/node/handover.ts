/** Sends and receives files with all functions of grpcfd in turn. */
import * as grpcfd from 'grpcfd';
import { examine } from './examine.js';
import type { File, Outcome } from './protocol.js';
import type { Sample } from './samples.js';

/** Counts the files given to one transceiver. */
export class Sending {
  readonly #fds: grpcfd.FdTransceiver;
  #given = 0;
  #left = 0;
  #failure: unknown;

  constructor(fds: grpcfd.FdTransceiver) {
    this.#fds = fds;
  }

  /** Sends a file, and returns the message that names it. */
  send(sample: Sample): File {
    const sent = this.#give(sample);
    this.#given++;
    sent.sent.then(
      () => this.#left++,
      (error) => {
        this.#failure ??= error;
      },
    );
    return { ...sample.message, url: sent.url };
  }

  /** How many files were sent, and the errors of the others. */
  toString(): string {
    const failure = this.#failure === undefined ? '' : `: ${reasonOf(this.#failure)}`;
    return `${this.#left} of ${this.#given} fds have left${failure}`;
  }

  #give(sample: Sample): grpcfd.SentFd {
    if ('name' in sample) return this.#fds.sendFilename(sample.name);
    return sample.message.kind === 'MEMFD'
      ? this.#fds.sendFd(sample.file.fd)
      : this.#fds.sendFile(sample.file);
  }
}

/** Receives the files of one call. */
export class Receiving {
  readonly outcome: Outcome = { received: 0, failures: [] };
  readonly #fds: grpcfd.FdTransceiver;
  readonly #signal: AbortSignal;
  #turn = 0;

  /** @param receiveMs how long all of them may take together, from now on */
  constructor(fds: grpcfd.FdTransceiver, receiveMs: number) {
    this.#fds = fds;
    this.#signal = AbortSignal.timeout(receiveMs);
  }

  /** Receives files and examines them. Returns the outcome of these files. */
  async receive(files: readonly File[]): Promise<Outcome> {
    const results = await Promise.allSettled(files.map((file) => this.#receive(file)));
    const outcome: Outcome = { received: 0, failures: [] };
    for (const [i, result] of results.entries()) {
      if (result.status === 'fulfilled') outcome.received++;
      else outcome.failures.push(`${files[i]?.url}: ${reasonOf(result.reason)}`);
    }
    add(this.outcome, outcome);
    return outcome;
  }

  async #receive(promised: File): Promise<void> {
    await using file = await this.#take(promised.url);
    await examine(file, promised);
  }

  async #take(url: string): Promise<grpcfd.ReceivedFile> {
    const options = { signal: this.#signal };
    switch (this.#turn++ % 4) {
      case 0:
        return this.#fds.recvFile(url, options);
      case 1:
        return new grpcfd.ReceivedFile(await this.#fds.recvFd(url, options));
      case 2:
        return this.#fds.recvFile(grpcfd.urlToDevIno(url), options);
      default:
        return new grpcfd.ReceivedFile(await this.#fds.recvFd(grpcfd.urlToDevIno(url), options));
    }
  }
}

/** Adds the counts of another outcome. */
export function add(total: Outcome, outcome: Outcome): void {
  total.received += outcome.received;
  total.failures.push(...outcome.failures);
}

/** Throws unless all files of a row were received. */
export function check({ received, failures }: Outcome, files: number): void {
  if (failures.length > 0)
    throw new Error(`${failures.length} of ${files} files not received, first ${failures[0]}`);
  if (received !== files) throw new Error(`the peer speaks of ${received} files, not of ${files}`);
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
