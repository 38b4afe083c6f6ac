/** `--receive`: receives what a reply names, and describes it or writes it out. */
import { createWriteStream, readlinkSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { FdCallCredentials, ReceivedFile } from '../../index.js';
import { EXIT, Failure, oneLine } from '../failure.js';
import type { ReceiveSpec } from './arguments.js';
import { namesAt } from './fields.js';
import { Progress } from './progress.js';

/** How long a descriptor is waited for that is named by URL, without a deadline. */
const PATIENCE_MS = 10_000;

const CONTENTS: ReadonlySet<string> = new Set(['file', 'memfd', 'pipe', 'socket', 'tty', 'device']);

/** What is printed of a descriptor that came. */
export interface Description {
  readonly field: string;
  readonly name: string;
  readonly kind: string;
  readonly access: string;
  readonly size?: number;
  readonly path?: string;
  readonly writtenTo?: string;
}

export class Receiver {
  readonly #fds: FdCallCredentials;
  readonly #specs: readonly ReceiveSpec[];
  readonly #timeoutMs: number;
  /** How many files each spec has written. */
  readonly #written = new Map<ReceiveSpec, number>();

  constructor(fds: FdCallCredentials, specs: readonly ReceiveSpec[], deadlineMs: number | undefined) {
    this.#fds = fds;
    this.#specs = specs;
    this.#timeoutMs = deadlineMs ?? PATIENCE_MS;
  }

  async receive(message: object): Promise<Description[]> {
    const found = this.#specs.flatMap((spec) =>
      namesAt(message, spec.field.split('.')).map((name) => ({ spec, name })),
    );
    const described: Description[] = [];
    for (const { spec, name } of found) described.push(await this.#receiveOne(spec, name));
    return described;
  }

  async #receiveOne(spec: ReceiveSpec, name: string): Promise<Description> {
    await using file = await this.#fds.recvFile(name, { timeoutMs: this.#timeoutMs });
    const { kind, access } = file;
    const sized = kind === 'file' || kind === 'memfd';
    const size = sized ? Number((await file.stat()).size) : undefined;
    const writtenTo = spec.to === undefined ? undefined : await this.#write(spec, file, size);
    return {
      field: spec.field,
      name,
      kind,
      access,
      ...(size !== undefined && { size }),
      path: readlinkSync(`/proc/self/fd/${file.fd}`),
      ...(writtenTo !== undefined && { writtenTo }),
    };
  }

  async #write(spec: ReceiveSpec, file: ReceivedFile, size: number | undefined): Promise<string> {
    const { to = '' } = spec;
    const before = this.#written.get(spec) ?? 0;
    this.#written.set(spec, before + 1);
    const path = before === 0 || to === '-' ? to : `${to}.${before}`;
    try {
      if (!CONTENTS.has(file.kind) || (file.kind === 'socket' && file.pathOnly)) {
        throw new Error(`a descriptor of the kind ${file.kind} (${file.access}) has no content to write`);
      }
      // What came as O_PATH is opened again, with the rights of this process.
      await using readable = file.pathOnly ? file.reopen(0) : file.duplicate();
      const output = path === '-' ? process.stdout : createWriteStream(path);
      const progress = new Progress(path === '-' ? 'stdout' : path, size);
      await pipeline(readable.createReadStream(), progress, output, { end: path !== '-' });
    } catch (error) {
      throw new Failure(`${spec.field} cannot be written to ${path}: ${oneLine(error)}`, EXIT.inputOutput, {
        cause: error,
      });
    }
    return path;
  }
}
