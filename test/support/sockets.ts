/** Sockets of Node, which the end of the test closes. */
import { type ChildProcess, spawn } from 'node:child_process';
import * as dgram from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import * as net from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { ReceivedFile } from 'grpcfd';
import { descriptorOfDatagramSocket } from '#src/internals/dgram-state.js';
import { descriptorOf } from '#src/internals/net-handle.js';
import { native } from '#src/native/binding.js';
import { defer } from './fd-table.js';
import { temporaryDirectory } from './temporary.js';

export type StreamFamily = 'unix' | 'ipv4' | 'ipv6';
export const STREAM_FAMILIES: readonly StreamFamily[] = ['unix', 'ipv4', 'ipv6'];

export async function listenWith<Server extends net.Server>(
  server: Server,
  family: StreamFamily = 'unix',
): Promise<Server> {
  if (family === 'unix') server.listen(join(temporaryDirectory(), 'server'));
  else server.listen(0, family === 'ipv4' ? '127.0.0.1' : '::1');
  await once(server, 'listening');
  defer(() => server.close());
  return server;
}

export function listening(family?: StreamFamily, options: net.ServerOpts = {}): Promise<net.Server> {
  return listenWith(net.createServer(options), family);
}

/** What `net.connect()` takes to reach a server. */
export function addressOf(server: net.Server): net.NetConnectOpts {
  const address = server.address();
  if (typeof address === 'string') return { path: address };
  return { host: address?.address, port: address?.port ?? 0 };
}

export async function connectTo(
  server: net.Server,
  more: net.SocketConstructorOpts = {},
): Promise<net.Socket> {
  const socket = net.connect({ ...addressOf(server), ...more });
  defer(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** Two connected sockets: of a client, and of a server, from which nothing has been read. */
export async function connected(family?: StreamFamily): Promise<[client: net.Socket, accepted: net.Socket]> {
  const server = await listening(family, { pauseOnConnect: true, allowHalfOpen: true });
  const accepted = once(server, 'connection') as Promise<[net.Socket]>;
  const client = await connectTo(server, { allowHalfOpen: true });
  const [socket] = await accepted;
  defer(() => socket.destroy());
  return [client, socket];
}

export async function boundTo(type: dgram.SocketType): Promise<dgram.Socket> {
  const socket = dgram.createSocket(type);
  defer(() => socket.close());
  socket.bind(0, type === 'udp4' ? '127.0.0.1' : '::1');
  await once(socket, 'listening');
  return socket;
}

/** A process that repeats what it is told. */
export function startEcho(): ChildProcess {
  const child = spawn('cat', { stdio: ['pipe', 'pipe', 'inherit'] });
  defer(async () => {
    const exit = once(child, 'exit');
    child.kill();
    await exit;
  });
  return child;
}

/** The number of Node's descriptor. */
export function numberOf(thing: net.Socket | net.Server | dgram.Socket): number {
  const fd = thing instanceof dgram.Socket ? descriptorOfDatagramSocket(thing) : descriptorOf(thing);
  if (fd === undefined) throw new Error('it has no descriptor');
  return fd;
}

/** As if `thing` had been received in this process. The end of the test closes the file. */
export function received(thing: number | net.Socket | net.Server | dgram.Socket): ReceivedFile {
  const fd = typeof thing === 'number' ? thing : numberOf(thing);
  const file = new ReceivedFile(native.duplicate(fd));
  defer(() => file.close());
  return file;
}

/** What others who have the open file can see of it: its offset and its flags. */
export function sharedState(fd: number): string {
  const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
  return ['pos', 'flags'].map((name) => new RegExp(`^${name}:.*$`, 'm').exec(info)?.[0]).join(' ');
}

/** All that comes until the end. (`for await` would destroy the stream then, with its writable side.) */
export async function textOf(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk) => chunks.push(chunk));
  await once(stream, 'end');
  return Buffer.concat(chunks).toString();
}
