/** The two processes of a side, connected. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from 'selfsigned';
import type { ClientCommands } from '../peers/client.js';
import type { ServerCommands } from '../peers/server.js';
import type { Flavour, Link } from '../peers/service.js';
import { Peer } from './control.js';
import type { Side } from './pairs.js';
import type { Processes } from './proc.js';

export class Rig implements AsyncDisposable {
  readonly client: Peer<ClientCommands>;
  readonly server: Peer<ServerCommands>;
  readonly #directory: string;

  static async start(flavour: Flavour, options: Omit<Link, 'flavour' | 'path'> = {}): Promise<Rig> {
    const directory = await temporaryDirectory();
    const link: Link = { ...options, flavour, path: join(directory, 'socket') };
    const args = [JSON.stringify(link)];
    const server = await Peer.start<ServerCommands>('peers/server.js', args, ['--expose-gc']);
    const client = await Peer.start<ClientCommands>('peers/client.js', args, ['--expose-gc']);
    return new Rig(client, server, directory);
  }

  private constructor(client: Peer<ClientCommands>, server: Peer<ServerCommands>, directory: string) {
    this.client = client;
    this.server = server;
    this.#directory = directory;
  }

  get processes(): Processes {
    return { client: this.client.pid, server: this.server.pid };
  }

  /** A side whose run is that command of the client. */
  side(run: (client: Peer<ClientCommands>) => Promise<number>): Side {
    return { processes: this.processes, run: () => run(this.client) };
  }

  /** Bytes that JavaScript allocates in both processes while that command of the client runs. */
  async allocated(run: (client: Peer<ClientCommands>) => Promise<number>): Promise<number> {
    await this.client.ask('countAllocations');
    await this.server.ask('countAllocations');
    await run(this.client);
    return (await this.client.ask('allocated')) + (await this.server.ask('allocated'));
  }

  /** Bytes that JavaScript holds in both processes, after a full collection. */
  async heap(): Promise<number> {
    return (await this.client.ask('heap')) + (await this.server.ask('heap'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.stop();
    await this.server.stop();
    await rm(this.#directory, { recursive: true });
  }
}

export function temporaryDirectory(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'grpcfd-bench-'));
}

/** Writes a key and a certificate for both ends to that directory. */
export async function writeCertificate(directory: string): Promise<NonNullable<Link['tls']>> {
  const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
  });
  const paths = { key: join(directory, 'key.pem'), cert: join(directory, 'cert.pem') };
  await writeFile(paths.key, key, { mode: 0o600 });
  await writeFile(paths.cert, cert);
  return paths;
}
