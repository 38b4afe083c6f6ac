/** `grpcfd proxy` */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type FdListener, type FdSocket, listen } from '../../socket/index.js';
import { EXIT, Failure, oneLine, usage } from '../failure.js';
import { parse, socketPath } from '../parse.js';
import { printer } from './events.js';
import { relay } from './relay.js';
import { Watcher } from './watcher.js';

const OPTIONS = {
  listen: { type: 'string' },
  to: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

/** Half-closed connections pass as they are. */
const SOCKETS = { allowHalfOpen: true } as const;

export async function proxy(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse('proxy', args, OPTIONS);
  if (values.listen === undefined || values.to === undefined || positionals.length > 0) {
    throw usage('proxy takes two addresses: grpcfd proxy --listen unix:/tmp/y.sock --to unix:/run/x.sock');
  }
  const target = socketPath(values.to);
  const print = printer(values.json);
  const sockets = new Set<FdSocket>();
  const keep = (socket: FdSocket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  };
  let count = 0;
  const accept = async (client: FdSocket) => {
    keep(client);
    const watcher = new Watcher(++count, print);
    watcher.open(processOf(client));
    const failedEarly = (error: Error) => watcher.trouble(`the client failed: ${oneLine(error)}`);
    client.once('error', failedEarly);
    try {
      const server = await connect(target, SOCKETS);
      keep(server);
      client.off('error', failedEarly);
      relay(client, server, watcher);
    } catch (error) {
      watcher.trouble(`${values.to} cannot be connected: ${oneLine(error)}`);
      client.destroy();
      watcher.close();
    }
  };
  const listener = await listenAt(values.listen, (client) => void accept(client));
  process.stderr.write(`grpcfd proxy listens at ${values.listen}, and passes on to ${values.to}\n`);
  const stop = new AbortController();
  const { signal } = stop;
  await Promise.race([once(process, 'SIGINT', { signal }), once(process, 'SIGTERM', { signal })]);
  stop.abort();
  await listener.close();
  for (const socket of sockets) socket.destroy();
  return 0;
}

async function listenAt(address: string, onConnection: (client: FdSocket) => void): Promise<FdListener> {
  const path = socketPath(address);
  try {
    return await listen({ path, ...SOCKETS }, onConnection);
  } catch (error) {
    throw new Failure(`${address}: ${oneLine(error)}`, EXIT.unavailable, { cause: error });
  }
}

function processOf({ peer: { pid, uid } }: FdSocket): string {
  if (pid === 0) return `a process of another pid namespace, uid ${uid}`;
  let name = '';
  try {
    name = ` (${oneLine(readFileSync(`/proc/${pid}/comm`, 'utf8').trim())})`;
  } catch {
    // It has ended, or /proc is not mounted.
  }
  return `process ${pid}${name}, uid ${uid}`;
}
