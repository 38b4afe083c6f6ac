// A server of a soak. `server.js TASK`. It listens when its parent says so, and shuts down gracefully when it is told to finish.
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpcfd from 'grpcfd';
import { bind, stockServerCredentials } from '../support/service.js';
import { Handlers } from './handlers.js';
import { LONG_DEADLINE_MS } from './plan.js';
import { rehearse } from './rehearse.js';
import { soakService } from './service.js';
import { SoakChild } from './soak-child.js';
import { Transfer } from './transfer.js';

/** What was sent on a stream, and not received there, is closed then. */
const HOLD_MS = 1.5 * LONG_DEADLINE_MS;

const child = new SoakChild();
const { task, book } = child;
await rehearse(child);
const handlers = new Handlers(book, new Transfer(task, book));
const server = new grpcfd.Server({ ...task.grpcOptions });
server.addService(soakService, handlers.implementation);
const credentials = grpcfd.serverCredentials(await stockServerCredentials(task.security), {
  holdMs: HOLD_MS,
});

/** Calls have a deadline, and so have their handlers. */
async function handlersEnd(): Promise<void> {
  const deadline = performance.now() + LONG_DEADLINE_MS + task.hangMs;
  while (handlers.running > 0 && performance.now() < deadline) await delay(10);
  if (handlers.running > 0) book.problem('hang', `${handlers.running} handlers run though no call does`);
}

/**
 * A TLS handshake that is under way when tryShutdown() is called makes a session that nobody tells to close, with stock servers, too. So
 * a server with TLS may have to be forced.
 */
async function shutDown(): Promise<void> {
  const limit = new AbortController();
  const over = new Promise<boolean>((resolve) => server.tryShutdown(() => resolve(true)));
  const late = delay(LONG_DEADLINE_MS + task.hangMs, false, limit).catch(() => true);
  const isOver = await Promise.race([over, late]);
  limit.abort();
  if (isOver) return;
  if (task.security === 'TLS' && handlers.running === 0) book.count('shutdowns that had to be forced');
  else book.problem('hang', `tryShutdown() does not end, with ${handlers.running} handlers`);
  server.forceShutdown();
}

child.obey({
  async serve() {
    await bind(server, `unix:${join(task.directory, 'server.sock')}`, credentials);
  },
  calm: handlersEnd,
  async finish() {
    await shutDown();
    // Those of calls that were cut short may still look at what they have received.
    await handlersEnd();
  },
});
