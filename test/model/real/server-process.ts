// The servers of histories whose clients run in the parent of this process.
import type { Security } from '../../support/service.js';
import type { ServerName } from '../rules/end.js';
import type { ServerSide } from './server-side.js';
import { forEachServer, startServers } from './servers.js';

export interface Ready {
  readonly paths: Readonly<Record<ServerName, string>>;
}

/** Calls a method of a `ServerSide`. */
export interface Question {
  readonly id: number;
  readonly server: ServerName;
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
      const { side } = servers[server];
      const called = side[method as keyof ServerSide] as (...args: readonly unknown[]) => unknown;
      return { id, value: await called.apply(side, [...args]) };
    } catch (error) {
      return { id, error: String((error as Error).stack ?? error) };
    }
  }
});
process.on('disconnect', () => process.exit());
process.send?.({ paths: forEachServer((name) => servers[name].path) } satisfies Ready);
