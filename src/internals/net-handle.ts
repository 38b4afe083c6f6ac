/**
 * The handle of a net.Socket or a net.Server: a Pipe, a TCP or a TTY of Node (`lib/net.js`).
 *
 * `_handle` is null before it is open and after it was closed. Its `fd` is the descriptor. The handle of a server in a worker of
 * node:cluster may stand for a socket of the primary process, and has no `fd` then.
 *
 * pause() of a net.Socket does not stop reading: the handle goes on until the buffer of the stream is full, and `_read()` starts it again
 * when a tick that was due before pause() asks for more. readStop() of the handle stops it at once, and an own `_read()` keeps it so.
 *
 * listen({ fd }) asks the primary process of node:cluster in a worker, for the descriptor of that number there. `_listen2()` is the
 * function that listen() calls in every other process. It makes a handle of the descriptor, and listens.
 *
 * Every close of a net.Server calls close() of its handle, which closes the descriptor before it returns.
 */

import type { Cluster } from 'node:cluster';
import type * as net from 'node:net';
import process from 'node:process';
import * as tls from 'node:tls';
import { types } from 'node:util';
import { changed, hidden } from './hidden.js';

interface Handle {
  readonly fd?: number;
  reading?: boolean;
  readStop?(): number;
  close?(callback?: () => void): void;
}

function handleOf(owner: net.Socket | net.Server): Handle | undefined {
  const handle = hidden<Handle | null>(owner, '_handle');
  if (handle === undefined) throw changed("net's _handle");
  return handle ?? undefined;
}

/** Whether it is open: a socket that is not connected, or a server that does not listen, is not. */
export function hasHandle(owner: net.Socket | net.Server): boolean {
  return handleOf(owner) !== undefined;
}

/** The number of the descriptor, which stays Node's. Undefined where this process has none. */
export function descriptorOf(owner: net.Socket | net.Server): number | undefined {
  const fd = handleOf(owner)?.fd;
  return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}

/**
 * Whether an HTTP parser or an HTTP/2 session of this process reads the socket, perhaps behind the back of its stream. A parser is in
 * `parser` (`lib/_http_server.js`, `lib/_http_client.js`). A session is in a property whose key is a symbol (`lib/internal/http2/core.js`). The
 * `socket` of a session is a Proxy, which gives access to some properties only.
 */
export function isParsed(socket: net.Socket): boolean {
  if (types.isProxy(socket)) return true;
  const parser = hidden<unknown>(socket, 'parser');
  if (typeof parser === 'object' && parser !== null) return true;
  return Reflect.ownKeys(socket).some((key) => {
    const value = typeof key === 'symbol' || key === 'undefined' ? hidden<unknown>(socket, key) : undefined;
    return typeof value === 'object' && value !== null && 'goaway' in value && 'ping' in value;
  });
}

/**
 * Whether TLS of this process runs on the socket. A server of TLS takes its connections when it accepts them. Elsewhere TLS shows when bytes have
 * come: it reads them from the handle behind the back of the stream (`lib/_tls_wrap.js`), which has neither kept them nor given them away.
 */
export function isUnderTls(socket: net.Socket): boolean {
  if (hidden<unknown>(socket, 'server') instanceof tls.Server) return true;
  return socket.bytesRead > 0 && socket.readableLength === 0 && !socket.readableDidRead;
}

/** Whether pipe() passes on what the socket reads. It calls resume() when its destination takes more (`lib/internal/streams/readable.js`). */
export function isPiped(socket: net.Socket): boolean {
  const pipes = hidden<{ pipes?: unknown }>(socket, '_readableState')?.pipes;
  if (!Array.isArray(pipes)) throw changed('the pipes of a stream');
  return pipes.length > 0;
}

/** Whether an `http.Agent` keeps the socket for its next request: it listens to 'agentRemove' (`lib/_http_agent.js`). */
export function isKeptByAgent(socket: net.Socket): boolean {
  return socket.listenerCount('agentRemove') > 0;
}

/** `cluster.isWorker`. To import that module, and child_process with it, would take half a millisecond of every start. */
export function isClusterWorker(): boolean {
  // Its type is that of `import`, where the members are those of `default`.
  return (process.getBuiltinModule('node:cluster') as unknown as Cluster).isWorker;
}

/**
 * Whether the primary process of node:cluster has made the socket of a server, and gave it to this worker. It removes the socket file when its
 * last worker has closed. Such a handle has a `close` of its own (`lib/internal/cluster/child.js`).
 */
export function isSharedWithPrimary(server: net.Server): boolean {
  const handle = handleOf(server);
  return isClusterWorker() && handle !== undefined && Object.hasOwn(handle, 'close');
}

const stopped = new WeakSet<net.Socket>();

/** Nothing is read from the socket any more, unless its user calls resume(). It is paused then. */
export function stopReading(socket: net.Socket): void {
  const handle = handleOf(socket);
  if (typeof handle?.readStop !== 'function') throw changed("readStop() of a net.Socket's handle");
  socket.pause();
  handle.reading = false;
  handle.readStop();
  if (stopped.has(socket)) return;
  stopped.add(socket);
  const { _read: read, resume } = socket;
  socket._read = () => {};
  // Not the event: it also follows a resume() of before.
  socket.resume = () => {
    stopped.delete(socket);
    Object.assign(socket, { _read: read, resume });
    if (!socket.destroyed) socket._read(0);
    return socket.resume();
  };
}

/**
 * Makes `server` listen on a socket that listens already. The descriptor is Node's from then on. `name` is what address() tells of a unix
 * socket, whose handle does not know it.
 */
export function listenOn(server: net.Server, fd: number, backlog: number, name: string | undefined): void {
  const internals = server as unknown as { _listen2?: (...args: unknown[]) => void; _pipeName?: string };
  if (typeof internals._listen2 !== 'function') throw changed('net.Server._listen2()');
  if (name !== undefined) internals._pipeName = name;
  internals._listen2(null, null, null, backlog, fd);
  if (descriptorOf(server) !== fd) throw changed('net.Server._listen2() with a descriptor');
}

/** Calls `listener` once, when the descriptor of `server` has been closed. */
export function afterClose(server: net.Server, listener: () => void): void {
  const handle = handleOf(server);
  const close = handle?.close;
  if (handle === undefined || typeof close !== 'function') throw changed("close() of a net.Server's handle");
  handle.close = (callback) => {
    handle.close = close;
    close.call(handle, callback);
    listener();
  };
}
