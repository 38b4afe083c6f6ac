/** Servers and clients of which one is the Go package. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ClientPeer, ServerPeer } from '../../interop/runner/peer.js';
import type { Workplace } from '../../interop/runner/toolchain.js';
import { randomFrom } from '../support/random.js';
import { Cell, type CellOptions, type Member } from './cell.js';
import { EXCHANGE_SECURITIES, judgeRow, limitOf, planRow, SHELF_SIZE } from './go-rows.js';
import { fdsOf, Party } from './party.js';

/** What the runtime of Go opens at some time, and keeps: for its first connection, and to learn how many processors it may use. */
const OF_THE_RUNTIME = /^anon_inode:\[event(poll|fd)\]$|^\/sys\/fs\/cgroup\//;
/** For what the package and the kernel close in turns of their own. */
const SETTLE_MS = 5_000;
const CLIENTS = 2;

abstract class GoCell extends Cell {
  protected readonly workplace: Workplace;

  constructor(options: CellOptions, workplace: Workplace) {
    super(options);
    this.workplace = workplace;
  }

  protected goParty(name: string, peer: ClientPeer | ServerPeer): Party {
    const party = new Party(`${this.name}: ${name}`, 'Go', peer.pid ?? -1);
    this.parties.push(party);
    return party;
  }

  /**
   * Counts what a Go process, which has no connection any more, has open that it did not have at its start. It is no fault of this
   * package: the Go package keeps a descriptor open if a call is given up at the wrong moment.
   */
  protected async countLeft(party: Party, before: readonly string[]): Promise<void> {
    const added = () =>
      fdsOf(party.pid).filter((target) => !OF_THE_RUNTIME.test(target) && !before.includes(target));
    for (let waited = 0; added().length > 0 && waited < SETTLE_MS; waited += 50) await delay(50);
    party.left = added().length;
  }
}

/** A server of this package, and Go clients, of which one is killed again and again. */
export class GoClientsCell extends GoCell {
  #server!: Member;
  #loops: Promise<void>[] = [];
  #peers: (ClientPeer | undefined)[] = [];
  /** Kills of the second client that its loop has not seen yet. */
  #kills = 0;

  async start(): Promise<void> {
    this.#server = this.launch('./exchange-server.js', 'server');
    await this.ready(this.#server);
    await this.order(this.#server, 'serve');
    this.#loops = Array.from({ length: CLIENTS }, (_, index) => this.#callOften(index));
  }

  async #callOften(index: number): Promise<void> {
    const { seed, directory, task } = this.options;
    const random = randomFrom(seed + index + 1);
    const name = index === 0 ? 'Go client' : 'killed Go client';
    while (!this.isOver) {
      const peer = new ClientPeer('go', this.workplace);
      this.#peers[index] = peer;
      const party = this.goParty(name, peer);
      const before = fdsOf(party.pid);
      let isKilled = false;
      while (!this.isOver && !isKilled) {
        const row = planRow(random, directory, true);
        const result = await peer.run(row, limitOf(row) + task.hangMs);
        isKilled = index === 1 && this.#kills > 0 && peer.death !== undefined;
        if (isKilled) this.count('rows that a kill ended');
        else if (peer.death?.includes('no answer within')) judgeRow(row, 'hang', this, false);
        else judgeRow(row, result.ok ? undefined : (result.reason ?? ''), this, false);
        if (peer.death !== undefined) break;
        await delay(random(10));
      }
      if (isKilled) this.#kills--;
      else if (peer.death !== undefined) this.problem('crash', `${name}: ${peer.death}`);
      else {
        await peer.run({ op: 'close', target: '', security: 'plaintext', receiveMs: 1_000 }, task.hangMs);
        await this.countLeft(party, before);
        const death = await peer.stop();
        if (death !== undefined) this.problem('crash', `${name}: ${death}`);
      }
      party.fate = peer.death === undefined ? 'finished' : 'killed';
    }
  }

  protected async disturb(): Promise<void> {
    while (await this.rest(3_000, 12_000)) {
      const victim = this.#peers[1];
      if (victim === undefined || victim.death !== undefined) continue;
      this.#kills++;
      this.count('kill -9');
      await victim.kill('by the soak');
    }
  }

  protected async finish(): Promise<void> {
    await Promise.all(this.#loops);
    await this.order(this.#server, 'calm');
    await this.end(this.#server);
  }

  override kill(): void {
    super.kill();
    for (const peer of this.#peers) void peer?.kill('the soak failed');
  }
}

/** A Go server that is killed again and again, and a client of this package. */
export class GoServerCell extends GoCell {
  #client!: Member;
  #server: ServerPeer | undefined;
  #party!: Party;
  #before: readonly string[] = [];

  async start(): Promise<void> {
    await this.#serve();
    this.#client = this.launch('./exchange-client.js', 'client');
    await this.ready(this.#client);
  }

  async #serve(): Promise<void> {
    const { directory } = this.options;
    for (const security of ['insecure', 'mtls', ...EXCHANGE_SECURITIES]) {
      rmSync(join(directory, `${security}.sock`), { force: true });
    }
    this.#server = await ServerPeer.start('go', this.workplace, { directory, shelf: SHELF_SIZE });
    this.#party = this.goParty('Go server', this.#server);
    this.#before = fdsOf(this.#party.pid);
  }

  protected async disturb(): Promise<void> {
    while (await this.rest(5_000, 20_000)) {
      if (this.#server?.death !== undefined) this.problem('crash', `Go server: ${this.#server.death}`);
      this.#party.fate = 'killed';
      await this.#server?.kill('by the soak');
      this.count('kill -9');
      await this.#serve();
    }
  }

  protected async finish(): Promise<void> {
    await this.order(this.#client, 'calm');
    await this.end(this.#client);
    await this.#server?.clearShelf();
    await this.countLeft(this.#party, this.#before);
    const death = await this.#server?.stop();
    if (death !== undefined) this.problem('crash', `Go server: ${death}`);
    this.#party.fate = 'finished';
  }

  override kill(): void {
    super.kill();
    void this.#server?.kill('the soak failed');
  }
}
