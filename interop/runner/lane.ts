/** Runs rows one after the other, with as few processes as they allow. Lanes share nothing. */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { RowResult } from '../node/row.js';
import { SECURITIES } from '../node/security.js';
import { type Cell, endangersGo, type Language } from './matrix.js';
import { ClientPeer, ServerPeer } from './peer.js';
import { ProxyProcess } from './proxy.js';
import type { Workplace } from './toolchain.js';

/** How long the files of a row may take, on a machine that is busy with other things too. */
const RECEIVE_MS = 10_000;
/** The same time for rows in which Go may lose files: hundreds of these rows wait in vain. */
const LOSING_RECEIVE_MS = 2000;
/** Each of 200 exchanges in turn wakes one process more in each direction. */
const PROXY_FACTOR = 2;
/** A client that takes longer than this hangs: its own limits are much shorter. */
const HANG_MS = 25_000;

export class Lane {
  readonly #workplace: Workplace;
  readonly #throughProxy: boolean;
  readonly #directories = new Map<Language, string>();
  /** By the addresses of their servers. */
  readonly #proxies = new Map<string, ProxyProcess>();
  readonly #clients = new Map<Language, ClientPeer>();
  readonly #servers = new Map<Language, ServerPeer>();

  /** With `throughProxy`, `grpcfd proxy` stands between the two ends of each row. */
  constructor(workplace: Workplace, throughProxy = false) {
    this.#workplace = workplace;
    this.#throughProxy = throughProxy;
  }

  async run(cell: Cell): Promise<Omit<RowResult, 'id'>> {
    const server = await this.#server(cell.server);
    const client = this.#client(cell.client);
    const { security, rpc, direction, kind, fds } = cell;
    const target = await this.#target(server.target(security));
    const losingMs = this.#throughProxy ? PROXY_FACTOR * LOSING_RECEIVE_MS : LOSING_RECEIVE_MS;
    const receiveMs = endangersGo(cell) ? losingMs : RECEIVE_MS;
    const row = { target, security, rpc, direction, kind, fds, warm: true, receiveMs };
    const { ok, reason, ms } = await client.run(row, HANG_MS);
    const deaths = [
      ...(await this.#retire(this.#clients, cell)),
      ...(await this.#retire(this.#servers, cell)),
    ];
    const reasons = [
      ...(reason === undefined ? [] : [reason]),
      ...deaths.filter((death) => death !== reason),
    ];
    return { ok, ms, ...(reasons.length > 0 ? { reason: reasons.join('; ') } : {}) };
  }

  async close(): Promise<void> {
    const peers = [...this.#clients.values(), ...this.#servers.values()];
    await Promise.all(peers.map((peer) => peer.stop()));
    for (const proxy of this.#proxies.values()) await proxy[Symbol.asyncDispose]();
  }

  async #target(own: string): Promise<string> {
    if (!this.#throughProxy) return own;
    const proxy = this.#proxies.get(own) ?? (await ProxyProcess.start(own));
    this.#proxies.set(own, proxy);
    return proxy.target;
  }

  async #server(language: Language): Promise<ServerPeer> {
    const server = this.#servers.get(language) ?? (await this.#startServer(language));
    this.#servers.set(language, server);
    return server;
  }

  /** The proxies outlive a server, so the next one of its language takes its place. */
  async #startServer(language: Language): Promise<ServerPeer> {
    if (!this.#throughProxy) return ServerPeer.start(language, this.#workplace);
    const directory =
      this.#directories.get(language) ?? (await mkdtemp(join(this.#workplace.directory, `${language}-`)));
    this.#directories.set(language, directory);
    // A Go server that died has left its socket files.
    for (const security of SECURITIES) await rm(join(directory, `${security}.sock`), { force: true });
    return ServerPeer.start(language, this.#workplace, { directory });
  }

  #client(language: Language): ClientPeer {
    const client = this.#clients.get(language) ?? new ClientPeer(language, this.#workplace);
    this.#clients.set(language, client);
    return client;
  }

  /** Ends the processes that have run their last row. A Go process can also die of a row after its answer. */
  async #retire(peers: Map<Language, ClientPeer | ServerPeer>, cell: Cell): Promise<string[]> {
    const deaths: string[] = [];
    for (const [language, peer] of peers) {
      if (peer.death === undefined && !(language === 'go' && endangersGo(cell))) continue;
      peers.delete(language);
      const death = await peer.stop();
      if (death !== undefined) deaths.push(death);
    }
    return deaths;
  }
}
