/** Sockets that are taken over, told and handed on, and the raw layer without gRPC. */
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import * as net from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import * as grpcfd from 'grpcfd';
import * as raw from 'grpcfd/socket';
import { native } from '#src/native/binding.js';
import { datagramReceiver } from '../../support/datagram-receiver.js';
import { defer } from '../../support/fd-table.js';
import { contentOf, fileWith, temporaryDirectory } from '../../support/temporary.js';
import type { Scenario } from '../scenarios.js';
import { untouched } from '../untouched.js';
import { expectEqual } from '../wrong-result.js';

const WAIT_MS = 8_000;

/** Rejects when nothing comes: with the error of the socket, or because it hangs. */
function next(emitter: net.Socket | raw.FdSocket, event: string): Promise<unknown[]> {
  return once(emitter, event, { signal: AbortSignal.timeout(WAIT_MS) });
}

function quiet<Socket extends NodeJS.EventEmitter & { destroy(): unknown }>(socket: Socket): Socket {
  socket.on('error', () => {});
  defer(() => socket.destroy());
  return socket;
}

function received(fd: number): grpcfd.ReceivedFile {
  const file = new grpcfd.ReceivedFile(fd);
  defer(() => file.close());
  return file;
}

async function takenSockets(): Promise<void> {
  const [a, b] = untouched(() => native.socketPair());
  let isTaken = false;
  defer(() => isTaken || closeSync(b));
  const one = received(a);
  isTaken = true;
  const other = received(b);
  expectEqual(one.socketInfo().family, 'unix');
  const socket = quiet(one.toSocket());
  const fdSocket = quiet(other.toFdSocket());
  const coming = next(socket, 'data');
  coming.catch(() => {});
  await new Promise<void>((resolve, reject) =>
    fdSocket.write('hello', (error) => (error ? reject(error) : resolve())),
  );
  expectEqual(String((await coming)[0]), 'hello');
}

async function takenServer(): Promise<void> {
  const path = join(temporaryDirectory(), 'listener');
  const listener = net.createServer().listen(path);
  await once(listener, 'listening');
  defer(() => listener.listening && listener.close());
  const fd = (listener as unknown as { _handle: { fd: number } })._handle.fd;
  const file = received(untouched(() => native.duplicate(fd)));
  listener.close();
  expectEqual(file.socketInfo().listening, true);
  const server = file.toServer();
  defer(() => server.close());
  server.on('connection', (socket) => socket.end('served'));
  // The first listener has removed the file, but not the socket.
  expectEqual(server.listening, true);
}

async function exchange(client: raw.FdSocket, server: raw.FdSocket): Promise<void> {
  const coming = next(server, 'fds');
  // It may fail before it is awaited, and long after this has failed.
  coming.catch(() => {});
  server.resume();
  const file = fileWith('raw content');
  defer(() => closeSync(file));
  const sent = client.sendFd(file);
  sent.catch(() => {});
  client.write('x');
  await sent;
  const [fds, truncated] = (await coming) as [number[], boolean];
  expectEqual(truncated, false);
  for (const fd of fds) expectEqual(contentOf(fd), 'raw content');
  expectEqual(fds.length, 1);
}

async function rawConnection(): Promise<void> {
  const path = join(temporaryDirectory(), 'raw.sock');
  const incoming: raw.FdSocket[] = [];
  const listener = await raw.listen({ path }, (socket) => {
    incoming.push(quiet(socket));
  });
  // Rejects when the listener has an error.
  const arrival = once(listener, 'connection', { signal: AbortSignal.timeout(WAIT_MS) });
  arrival.catch(() => {});
  listener.on('error', () => {});
  defer(() => listener.close());
  const client = quiet(await raw.connect(path));
  await arrival;
  const [server] = incoming;
  if (server === undefined) return;
  await exchange(client, server);
  const ended = text(server);
  client.end();
  await ended;
}

async function rawPair(): Promise<void> {
  const [a, b] = raw.socketPair();
  quiet(a);
  quiet(b);
  await exchange(a, b);
  const released = b.release();
  quiet(
    await raw.connect({ fd: released }).catch((error) => {
      closeSync(released);
      throw error;
    }),
  );
}

async function datagram(): Promise<void> {
  const address = `\0grpcfd-${process.pid}-${process.hrtime.bigint()}`;
  const receiver = untouched(() => datagramReceiver(address));
  const file = fileWith('datagram');
  try {
    await raw.sendDatagram(address, 'READY=1', [file]);
  } finally {
    closeSync(file);
  }
  const { bytes, fds } = untouched(() => receiver.next());
  expectEqual(String(bytes), 'READY=1');
  for (const fd of fds) expectEqual(contentOf(fd), 'datagram');
}

export const SOCKETS: readonly Scenario[] = [
  { name: 'sockets that are taken over', run: takenSockets },
  { name: 'a listener that is taken over', run: takenServer },
  { name: 'grpcfd/socket: listen and connect', run: rawConnection },
  { name: 'grpcfd/socket: a pair', run: rawPair },
  { name: 'grpcfd/socket: a datagram', run: datagram },
];
