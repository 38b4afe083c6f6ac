/** `--receive`: receives what a reply names, and describes it or writes it out. */
import { readlinkSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { FdCallCredentials, ReceivedFile } from '../../index.js';
import { EXIT, Failure, oneLine } from '../failure.js';
import type { ReceiveSpec } from './arguments.js';
import type { Deadline } from './deadline.js';
import { namesAt } from './fields.js';
import { openOutput } from './files.js';
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
  readonly #deadline: Deadline;
  /** How many files each spec has written. */
  readonly #written = new Map<ReceiveSpec, number>();

  constructor(fds: FdCallCredentials, specs: readonly ReceiveSpec[], deadline: Deadline) {
    this.#fds = fds;
    this.#specs = specs;
    this.#deadline = deadline;
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
    const timeoutMs = this.#deadline.leftMs ?? PATIENCE_MS;
    await using file = await this.#fds.recvFile(name, { timeoutMs });
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
      assertReadable(file);
      // What came as O_PATH is opened again, with the rights of this process.
      await using readable = file.pathOnly ? file.reopen(0) : file.duplicate();
      const output = path === '-' ? process.stdout : await openOutput(path, this.#deadline);
      const target = path === '-' ? 'stdout' : path;
      const written = pipeline(readable.createReadStream(), new Progress(target, size), output, {
        end: path !== '-',
      });
      await this.#deadline.during(`the content of ${spec.field}, which goes to ${target}`, written);
    } catch (error) {
      throw new Failure(`${spec.field} cannot be written to ${path}: ${oneLine(error)}`, EXIT.inputOutput, {
        cause: error,
      });
    }
    return path;
  }
}

function assertReadable({ kind, access, pathOnly }: ReceivedFile): void {
  const what = `a descriptor of the kind ${kind} (${access})`;
  if (!CONTENTS.has(kind) || (kind === 'socket' && pathOnly)) {
    throw new Error(`${what} has no content to write`);
  }
  if (access === 'write') throw new Error(`${what} cannot be read`);
  if (pathOnly && (kind === 'pipe' || kind === 'tty')) {
    throw new Error(
      `${what} was opened with O_PATH, and would have to be waited for: the server has to open it to read`,
    );
  }
}
