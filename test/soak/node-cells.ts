/** Servers and clients that are this package at both ends. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Cell, type Member } from './cell.js';

/** Until a server that shuts down has removed its socket file. */
const GONE_MS = 60_000;

/** A server that stays, a client that stays, and a client that is killed again and again. */
export class SteadyCell extends Cell {
  #server!: Member;
  #client!: Member;
  #victim!: Member;

  async start(): Promise<void> {
    this.#server = this.launch('./server.js', 'server');
    await this.ready(this.#server);
    await this.order(this.#server, 'serve');
    this.#client = this.launch('./client.js', 'client');
    this.#victim = this.launch('./client.js', 'killed client');
    await this.ready(this.#client);
    await this.ready(this.#victim);
  }

  protected async disturb(): Promise<void> {
    while (await this.rest(3_000, 12_000)) {
      await this.kill9(this.#victim);
      this.#victim = this.launch('./client.js', 'killed client');
      await this.ready(this.#victim);
    }
  }

  protected async finish(): Promise<void> {
    for (const member of [this.#client, this.#victim, this.#server]) await this.order(member, 'calm');
    for (const member of [this.#client, this.#victim, this.#server]) await this.end(member);
  }
}

/** A server that is killed or shut down again and again, and started anew on the same path, and two clients that stay. */
export class RestartedCell extends Cell {
  #server!: Member;
  #spare!: Member;
  #clients: Member[] = [];
  readonly #ending: Promise<void>[] = [];

  async start(): Promise<void> {
    this.#server = this.launch('./server.js', 'server');
    await this.ready(this.#server);
    await this.order(this.#server, 'serve');
    this.#clients = ['client', 'other client'].map((name) => this.launch('./client.js', name));
    for (const client of this.#clients) await this.ready(client);
    this.#spare = this.launch('./server.js', 'server');
  }

  protected async disturb(): Promise<void> {
    while (await this.rest(2_000, 8_000)) {
      await this.ready(this.#spare);
      if (this.random(2) === 0) await this.kill9(this.#server);
      else await this.#shutDown(this.#server);
      this.#server = this.#spare;
      await this.order(this.#server, 'serve');
      this.#spare = this.launch('./server.js', 'server');
    }
  }

  /** Resolves when it does not listen any more. Its calls go on. */
  async #shutDown(server: Member): Promise<void> {
    const end = this.end(server).catch((error: Error) => this.problem('hang', error.message));
    this.#ending.push(end);
    this.count('graceful restart');
    const path = join(this.options.directory, 'server.sock');
    for (let waited = 0; existsSync(path) && waited < GONE_MS; waited += 5) await delay(5);
    if (existsSync(path)) this.problem('hang', 'a server that shuts down does not remove its socket file');
  }

  protected async finish(): Promise<void> {
    await Promise.all(this.#ending);
    await this.ready(this.#spare);
    for (const member of [...this.#clients, this.#server]) await this.order(member, 'calm');
    for (const member of [...this.#clients, this.#server, this.#spare]) await this.end(member);
  }
}
