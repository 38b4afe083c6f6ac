/** The servers of histories, in this process or in another one. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type Security, stockChannelCredentials } from '../../support/service.js';
import type { ServerName } from '../rules/end.js';
import type { Tally } from '../tally.js';
import type { Surroundings } from '../world.js';
import type { Answer, Question, Ready } from './server-process.js';
import type { ServerControl } from './server-side.js';
import { forEachServer, startServers } from './servers.js';

interface Running {
  readonly surroundings: Omit<Surroundings, 'patienceMs'>;
  readonly stop: () => void;
}

export async function inThisProcess(directory: string, security: Security, tally: Tally): Promise<Running> {
  const running = await startServers(directory, security);
  const stop = () => {
    for (const server of Object.values(running)) server.stop();
  };
  const servers = forEachServer((name) => running[name].side);
  const paths = forEachServer((name) => running[name].path);
  const inner = await stockChannelCredentials(security);
  return { surroundings: { servers, paths, security, inner, tally }, stop };
}

/** The certificates have to be shared with that process. */
export async function inOtherProcess(directory: string, security: Security, tally: Tally): Promise<Running> {
  const program = fileURLToPath(new URL('./server-process.js', import.meta.url));
  const child = fork(program, [directory, security], { serialization: 'advanced' });
  const [{ paths }] = (await once(child, 'message')) as [Ready];
  const ask = questionsTo(child);
  const servers = forEachServer((name) => control(ask, name));
  const inner = await stockChannelCredentials(security);
  return { surroundings: { servers, paths, security, inner, tally }, stop: () => child.kill() };
}

type Ask = (question: Omit<Question, 'id'>) => Promise<unknown>;

function questionsTo(child: ChildProcess): Ask {
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  let asked = 0;
  child.on('message', (answer: Answer) => {
    const asker = waiting.get(answer.id);
    waiting.delete(answer.id);
    if ('error' in answer) asker?.reject(new Error(answer.error));
    else asker?.resolve(answer.value);
  });
  child.on('exit', (code, signal) => {
    for (const { reject } of waiting.values()) reject(new Error(`the server ended with ${signal ?? code}`));
  });
  return (question) =>
    new Promise((resolve, reject) => {
      asked++;
      waiting.set(asked, { resolve, reject });
      child.send({ id: asked, ...question } satisfies Question);
    });
}

function control(ask: Ask, server: ServerName): ServerControl {
  return new Proxy({} as ServerControl, {
    get:
      (_, method) =>
      (...args: unknown[]) =>
        ask({ server, method: String(method), args }),
  });
}
