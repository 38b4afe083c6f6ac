/** The servers of histories, in this process or in another one. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type Security, stockChannelCredentials } from '../../support/service.js';
import type { Tally } from '../tally.js';
import type { Surroundings } from '../world.js';
import type { Answer, Question, Ready } from './server-process.js';
import type { ServerControl } from './server-side.js';
import { startServers } from './servers.js';

interface Running {
  readonly surroundings: Omit<Surroundings, 'patienceMs'>;
  readonly stop: () => void;
}

export async function inThisProcess(directory: string, security: Security, tally: Tally): Promise<Running> {
  const { ours, goLike } = await startServers(directory, security);
  const stop = () => {
    ours.stop();
    goLike.stop();
  };
  const paths = { ours: ours.path, goLike: goLike.path };
  const inner = await stockChannelCredentials(security);
  return { surroundings: { ours: ours.side, goLike: goLike.side, paths, security, inner, tally }, stop };
}

/** The certificates have to be shared with that process. */
export async function inOtherProcess(directory: string, security: Security, tally: Tally): Promise<Running> {
  const program = fileURLToPath(new URL('./server-process.js', import.meta.url));
  const child = fork(program, [directory, security], { serialization: 'advanced' });
  const [{ paths }] = (await once(child, 'message')) as [Ready];
  const ask = questionsTo(child);
  const inner = await stockChannelCredentials(security);
  return {
    surroundings: {
      ours: control(ask, 'ours'),
      goLike: control(ask, 'goLike'),
      paths,
      security,
      inner,
      tally,
    },
    stop: () => child.kill(),
  };
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

function control(ask: Ask, server: 'ours' | 'goLike'): ServerControl {
  return new Proxy({} as ServerControl, {
    get:
      (_, method) =>
      (...args: unknown[]) =>
        ask({ server, method: String(method), args }),
  });
}
