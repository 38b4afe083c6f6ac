// The server of a storm. `server.js shutdown|cancel plaintext|TLS DIRECTORY`
import { closeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { descriptorTable } from '../../support/fd-table.js';
import { bind } from '../../support/service.js';
import { PATHS } from '../calls.js';
import { definitionOf } from '../handlers.js';
import { newServer } from '../library.js';
import { StormChild, stormServerCredentials, task } from './child.js';

/** Clients' calls have a deadline of a second: nothing keeps a server much longer. */
const SHUTDOWN_MS = 5_000;
/**
 * A TLS handshake that is under way when tryShutdown() is called makes a session that nobody tells to close, with stock
 * servers, too. Its client goes on to use it.
 */
const FORCED_AFTER_MS = 300;
const MAX_LIFE_MS = 30;
/** One that listens, three for the connection of the client, and three for one that is going. */
const SOCKETS = 7;

let stormy = true;
let stopped: Promise<unknown> = Promise.resolve();
let server: grpc.Server | undefined;

const child = new StormChild({
  async calm() {
    stormy = false;
    await stopped;
    await child.compareDescriptors('when calls had ended', before, SOCKETS);
  },
  async close() {
    if (server !== undefined) await shutDown(server);
    await child.compareDescriptors('at the end', before);
  },
});

/** Takes the descriptor that the request names, if it names one, and answers at some time. */
const handle = grpcfd.handler(async (call: Call, fds) => {
  child.count('calls that reached a handler');
  const name = String(call.request ?? '');
  if (name.startsWith('fd:')) {
    closeSync(await fds.recvFd(name));
    child.count('descriptors received');
  }
  await delay(Math.random() * 3);
  return Buffer.from('reply');
});

/** Answers every message, and ends when the client does. */
function echo(call: grpc.ServerDuplexStream<Buffer, Buffer>): void {
  child.count('calls that reached a handler');
  call.on('data', (message) => call.write(message));
  call.on('end', () => call.end());
  call.on('error', () => {});
}

type Call = grpc.ServerUnaryCall<Buffer, Buffer>;

async function start(): Promise<grpc.Server> {
  const started = newServer('ours');
  const { unary, bidi } = PATHS;
  const definition = { unary: definitionOf('unary', unary), bidi: definitionOf('bidi', bidi) };
  started.addService(definition, { unary: handle, bidi: echo });
  await bind(started, task.address, stormServerCredentials());
  return started;
}

async function shutDown(running: grpc.Server, patienceMs = SHUTDOWN_MS): Promise<void> {
  const over = new Promise<boolean>((resolve) => running.tryShutdown(() => resolve(true)));
  const late = new AbortController();
  const ended = await Promise.race([over, delay(patienceMs, false, late)]);
  late.abort();
  if (ended) return;
  if (patienceMs < SHUTDOWN_MS) child.count('shutdowns that had to be forced');
  else child.complain('tryShutdown() does not end');
  running.forceShutdown();
}

async function restartForEver(): Promise<void> {
  while (stormy) {
    await delay(Math.random() * MAX_LIFE_MS);
    const patienceMs = task.security === 'TLS' ? FORCED_AFTER_MS : SHUTDOWN_MS;
    if (server !== undefined) await shutDown(server, patienceMs);
    server = await start();
    child.count('restarts');
  }
}

// The first server makes what the process keeps.
await shutDown(await start());
const before = descriptorTable();
server = await start();
if (task.storm === 'shutdown') stopped = restartForEver();
child.ready();
