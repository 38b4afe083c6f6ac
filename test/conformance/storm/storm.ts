/** Runs a storm: a server process and a client process that do to each other what connections have to survive, for minutes. */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { certificates } from '../../support/certificates.js';
import type { Transport } from '../library.js';
import type { Storm } from '../parent/options.js';
import type { Figures, Message, Order } from './child.js';

/** A process that gives no sign of life for so long has frozen. */
const FREEZE_MS = 10_000;
/** For an order: the last calls end, servers shut down, descriptors go. */
const ORDER_MS = 60_000;

export interface StormReport {
  readonly figures: Figures;
  readonly problems: readonly string[];
}

export async function runStorm(storm: Storm, security: Transport, ms: number): Promise<StormReport> {
  const directory = mkdtempSync(join(tmpdir(), 'grpcfd-'));
  const { server: pair } = await certificates();
  writeFileSync(join(directory, 'cert.pem'), pair.cert);
  writeFileSync(join(directory, 'key.pem'), pair.key, { mode: 0o600 });
  const party = (name: string) => new Party(name, [storm, security, directory]);
  const server = party('server');
  const parties = [server];
  try {
    await server.until('ready', ORDER_MS);
    const client = party('client');
    parties.push(client);
    await client.until('ready', ORDER_MS);
    await Promise.race([delay(ms), ...parties.map(({ broken }) => broken)]);
    for (const order of ['calm', 'close'] as const) {
      await client.obey(order);
      await server.obey(order);
    }
  } finally {
    for (const each of parties) each.stop();
    rmSync(directory, { recursive: true, force: true });
  }
  return {
    figures: Object.assign({}, ...parties.map((each) => each.figures)),
    problems: parties.flatMap((each) => each.problems),
  };
}

/** One of the two processes. */
class Party {
  /** Resolves when it has frozen or crashed. */
  readonly broken: Promise<void>;
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #done = new Set<Message['kind']>();
  #last: Message = { kind: 'alive', figures: {}, problems: [] };
  #failure: string | undefined;
  #heard = performance.now();
  #watchdog: NodeJS.Timeout | undefined;

  constructor(name: string, args: readonly string[]) {
    this.#name = name;
    const program = fileURLToPath(new URL(`${name}.js`, import.meta.url));
    this.#child = fork(program, [...args]);
    this.#child.on('message', (message: Message) => {
      this.#heard = performance.now();
      this.#last = message;
      this.#done.add(message.kind);
    });
    this.broken = new Promise((resolve) => {
      const fail = (how: string) => {
        this.#failure ??= how;
        resolve();
      };
      this.#child.on('exit', (code, signal) => fail(`CRASH: it ended with ${signal ?? `exit code ${code}`}`));
      this.#watchdog = setInterval(() => {
        if (performance.now() - this.#heard > FREEZE_MS) fail('FREEZE: it gives no sign of life');
      }, 1_000);
    });
  }

  get figures(): Figures {
    return Object.fromEntries(
      Object.entries(this.#last.figures).map(([name, value]) => [`${this.#name}: ${name}`, value]),
    );
  }

  get problems(): string[] {
    const all = [...new Set(this.#last.problems), ...(this.#failure === undefined ? [] : [this.#failure])];
    return all.map((problem) => `${this.#name}: ${problem}`);
  }

  async obey(order: Order): Promise<void> {
    if (this.#failure !== undefined) return;
    this.#child.send(order);
    await this.until(order, ORDER_MS);
  }

  async until(kind: Message['kind'], patienceMs: number): Promise<void> {
    const deadline = performance.now() + patienceMs;
    while (!this.#done.has(kind) && this.#failure === undefined) {
      if (performance.now() > deadline) this.#failure = `HANG: it does not come to '${kind}'`;
      await delay(20);
    }
  }

  stop(): void {
    clearInterval(this.#watchdog);
    this.#child.removeAllListeners('exit');
    this.#child.kill('SIGKILL');
  }
}
