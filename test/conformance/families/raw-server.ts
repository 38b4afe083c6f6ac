/** Runs a grpc-js client against a raw server. */
import type * as grpc from '@grpc/grpc-js';
import { LoggedCall, startCalls } from '../calls.js';
import { Leftovers } from '../leftovers.js';
import { newClient, RECONNECT_MS } from '../library.js';
import type { Run } from '../run.js';
import { LARGE, type RawServerScript } from '../script.js';
import { RawServer } from '../wire/raw-server.js';

export async function runRawServer(run: Run, script: RawServerScript): Promise<void> {
  const leftovers = new Leftovers(isLarge(script));
  const { client, server, calls } = await begin(run, script);
  for (const call of calls) call.noteIfPending();
  if (script.ending === 'another call') await askAgain(run, client, server);
  if (script.ending !== 'close') cancelAll(calls);
  client.close();
  await run.until(() => server.open === 0, 2);
  run.log('after close()', `${server.open} connections open`);
  cancelAll(calls);
  await server.close();
  await leftovers.log(run);
}

/** Leaves the client as the script left it, and nothing of the server that keeps the process alive. */
export async function leaveClient(run: Run, script: RawServerScript): Promise<void> {
  const { server } = await begin(run, script);
  server.unref();
}

async function begin(run: Run, script: RawServerScript) {
  const server = await RawServer.listen(run, script.connections, script.automatic);
  const client = await newClient(run.library, run.security, run.address);
  const calls = await startCalls(run, client, script.calls);
  await run.until(() => server.done && calls.every(({ settled }) => settled), 4);
  return { server, client, calls };
}

/** A call on the connection as the script left it, and one when the server has broken all connections. */
async function askAgain(run: Run, client: grpc.Client, server: RawServer): Promise<void> {
  await ask(run, client, 'on the same connection', false);
  server.sever();
  await run.turns(5);
  await ask(run, client, 'to a sound server', true);
}

async function ask(run: Run, client: grpc.Client, name: string, waitForReady: boolean): Promise<void> {
  const call = new LoggedCall(run, client, { kind: 'unary', requests: [3], start: 0, waitForReady }, name);
  if (waitForReady) run.expectTimer(3 * RECONNECT_MS);
  await run.until(() => call.settled, 4);
  call.noteIfPending();
  call.cancel();
  await run.until(() => call.settled);
}

function cancelAll(calls: readonly LoggedCall[]): void {
  for (const call of calls) call.cancel();
}

function isLarge({ calls }: RawServerScript): boolean {
  return calls.flatMap(({ requests }) => requests).reduce((sum, size) => sum + size, 0) >= LARGE;
}
