/** The processes of the matrix: Node and Go, clients and servers, all with the same protocol. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Row, RowResult } from '../node/row.js';
import type { Security } from '../node/security.js';
import type { Language } from './matrix.js';
import type { Workplace } from './toolchain.js';

const START_LIMIT_MS = 180_000;
const STOP_LIMIT_MS = 30_000;
const STDERR_KEPT = 4096;

export interface PeerOptions {
  /** For Go only: run without the grpcfd package. */
  readonly plain?: boolean;
  /** For a Go server only: see {@link ServerPeer.metadataKeys}. */
  readonly showMetadata?: boolean;
  /** For a Go server only: the streams that a connection may have open. Default: any number. */
  readonly maxStreams?: number;
  /** For a Go server only: of how many calls it keeps the files. Default: 8. */
  readonly shelf?: number;
  /** For a server: the directory of its sockets, so that another server can take its place. Default: a new directory. */
  readonly directory?: string;
  /** Descriptors that the process inherits as 3 and so on. They stay the caller's. */
  readonly inherited?: readonly number[];
  /** A command that runs the process, such as strace. */
  readonly under?: readonly string[];
}

/** A process that answers lines with lines, and exits when its input ends. */
class Peer {
  readonly language: Language;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;
  #stderr = '';
  #death: string | undefined;

  protected constructor(
    language: Language,
    role: string,
    workplace: Workplace,
    args: readonly string[],
    { inherited = [] }: PeerOptions,
  ) {
    this.language = language;
    const [command = '', ...rest] = args;
    // The end of the workplace removes what a dying process leaves behind.
    this.#child = spawn(command, rest, {
      env: { ...process.env, TMPDIR: workplace.directory },
      stdio: ['pipe', 'pipe', 'pipe', ...inherited],
    }) as ChildProcessWithoutNullStreams;
    this.#child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      this.#stderr = (this.#stderr + chunk).slice(0, STDERR_KEPT);
    });
    // Writing to a process that has died fails; the exit event reports its death.
    this.#child.stdin.on('error', () => {});
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#ended = once(this.#child, 'close').then(([code, signal]) => {
      if (code !== 0) this.#death ??= `the ${language} ${role} died: ${this.#cause(code ?? signal)}`;
    });
  }

  /** The reason of an unexpected end; undefined after a normal end and while the process runs. */
  get death(): string | undefined {
    return this.#death;
  }

  /** The number of the process, or undefined if it did not start. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Resolves to the reason of an unexpected end, if any, when the process has ended. Kills the process if it does not end. */
  async stop(): Promise<string | undefined> {
    this.#child.stdin.end();
    const limit = new AbortController();
    const ended = await Promise.race([
      this.#ended.then(() => true),
      delay(STOP_LIMIT_MS, false, { signal: limit.signal }).catch(() => true),
    ]);
    limit.abort();
    if (!ended) await this.kill('it did not end when its input did');
    return this.#death;
  }

  async kill(reason: string): Promise<void> {
    this.#death ??= `the ${this.language} process was killed: ${reason}`;
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  protected write(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  /** The next line; undefined when the process has ended, or was killed after the time limit. */
  protected async line(limitMs: number): Promise<string | undefined> {
    const limit = new AbortController();
    const next = this.#lines.next();
    const inTime = await Promise.race([
      next.then(() => true),
      delay(limitMs, false, { signal: limit.signal }).catch(() => true),
    ]);
    limit.abort();
    if (!inTime) await this.kill(`no answer within ${limitMs} ms`);
    const { done, value } = await next;
    if (done !== true) return value;
    await this.#ended;
    return undefined;
  }

  #cause(end: number | string | null): string {
    // The first line of a Go panic has the reason; hundreds of further lines have the place.
    return this.#stderr.split('\n', 1)[0] || `exit ${end}`;
  }
}

export class ServerPeer extends Peer {
  readonly #directory: string;

  static async start(
    language: Language,
    workplace: Workplace,
    options: PeerOptions = {},
  ): Promise<ServerPeer> {
    const directory = options.directory ?? (await mkdtemp(join(workplace.directory, `${language}-`)));
    const server = new ServerPeer(language, directory, workplace, options);
    if ((await server.line(START_LIMIT_MS)) === undefined)
      throw new Error(server.death ?? 'the server ended at once');
    return server;
  }

  private constructor(language: Language, directory: string, workplace: Workplace, options: PeerOptions) {
    const args = [...command(language, 'server', workplace, options), '--dir', directory];
    super(language, 'server', workplace, args, options);
    this.#directory = directory;
  }

  /** With `showMetadata`, the keys of the next call's metadata, in order; undefined when the server has ended. */
  async metadataKeys(): Promise<string[] | undefined> {
    const line = await this.line(START_LIMIT_MS);
    return line === undefined ? undefined : (JSON.parse(line) as { metadata: string[] }).metadata;
  }

  /** For a Go server: closes the files that it keeps of calls that have ended. */
  async clearShelf(): Promise<void> {
    this.write('clear');
    await this.line(START_LIMIT_MS);
  }

  target(security: Security): string {
    return `unix:${join(this.#directory, `${security}.sock`)}`;
  }
}

export class ClientPeer extends Peer {
  #nextId = 1;

  constructor(language: Language, workplace: Workplace, options: PeerOptions = {}) {
    super(language, 'client', workplace, command(language, 'client', workplace, options), options);
  }

  /** @param limitMs the time after which the client is considered to hang, and is killed */
  async run(row: Omit<Row, 'id'>, limitMs: number): Promise<RowResult> {
    const start = performance.now();
    const id = this.#nextId++;
    this.write(JSON.stringify({ ...row, id }));
    const line = await this.line(limitMs);
    if (line !== undefined) return JSON.parse(line);
    const ms = Math.round(performance.now() - start);
    return { id, ok: false, reason: this.death ?? 'the client ended', ms };
  }
}

function command(language: Language, role: string, workplace: Workplace, options: PeerOptions): string[] {
  const { bin, certs } = workplace;
  const { plain = false, showMetadata = false, maxStreams = 0, shelf = 0, under = [] } = options;
  if (language === 'go') {
    const flags = [
      ...(plain ? ['--plain'] : []),
      ...(showMetadata ? ['--show-metadata'] : []),
      ...(maxStreams > 0 ? [`--max-streams=${maxStreams}`] : []),
      ...(shelf > 0 ? [`--shelf=${shelf}`] : []),
    ];
    return [...under, join(bin, role), '--certs', certs, ...flags];
  }
  const script = fileURLToPath(new URL(`../node/${role}.js`, import.meta.url));
  return [...under, process.execPath, script, '--certs', certs, '--bin', bin];
}
