// The servers of histories whose clients run in the parent of this process.
import type { Security } from '../../support/service.js';
import { startServers } from './servers.js';

export interface Ready {
  readonly paths: { readonly ours: string; readonly goLike: string };
}

/** Calls a method of a `ServerSide`. */
export interface Question {
  readonly id: number;
  readonly server: 'ours' | 'goLike';
  readonly method: string;
  readonly args: readonly unknown[];
}

export type Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: string };

const [directory = '.', security = 'plaintext'] = process.argv.slice(2);
const servers = await startServers(directory, security as Security);

process.on('message', async ({ id, server, method, args }: Question) => {
  process.send?.(await answer());

  async function answer(): Promise<Answer> {
    try {
      return { id, value: await Reflect.get(servers[server].side, method).apply(servers[server].side, args) };
    } catch (error) {
      return { id, error: String((error as Error).stack ?? error) };
    }
  }
});
process.on('disconnect', () => process.exit());
process.send?.({ paths: { ours: servers.ours.path, goLike: servers.goLike.path } } satisfies Ready);
