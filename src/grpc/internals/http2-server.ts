/**
 * Listening for a grpc.Server.
 *
 * grpc.Server makes one HTTP/2 server for each address in createHttp2Server(), listens with it, and keeps its books by it
 * (unbind, drain, tryShutdown, forceShutdown). So the HTTP/2 server stays, and only what is behind its listen() changes: a
 * handle of ours where a Pipe would be. `_handle`, `_pipeName`, `_connections` and a socket's `_server` are how net.Server
 * knows that it listens, on what, and that its last connection has gone (`lib/net.js`).
 *
 * In a worker process of node:cluster, the primary process listens, so that all workers can share a path. There, net.Server listens as
 * ever, and only the `onconnection` of its handle is replaced, before a connection has come. `cluster.isWorker` is false in a thread
 * of such a process, which listens by itself with stock, too.
 */

import cluster from 'node:cluster';
import type { Http2SecureServer, Http2Server, ServerHttp2Stream } from 'node:http2';
import type * as net from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { native } from '../../native/binding.js';
import { nextTick } from '../../timers.js';
import { changed, hidden } from './hidden.js';

export type AnyHttp2Server = Http2Server | Http2SecureServer;

interface GrpcServerInternals {
  createHttp2Server(credentials: grpc.ServerCredentials): AnyHttp2Server;
}

/** The part of net.Server's handle that net.Server uses. */
export interface ListenHandle {
  close(): void;
  ref(): void;
  unref(): void;
}

/** Has `wrap` make the HTTP/2 servers of `prototype`, a grpc.Server's; `original` is what stood there. */
export function replaceCreateHttp2Server(
  prototype: grpc.Server,
  wrap: (credentials: grpc.ServerCredentials, original: () => AnyHttp2Server) => AnyHttp2Server,
): void {
  const internals = prototype as unknown as GrpcServerInternals;
  const original = internals.createHttp2Server;
  if (typeof original !== 'function') throw changed('grpc.Server.createHttp2Server');
  internals.createHttp2Server = function (this: GrpcServerInternals, credentials) {
    return wrap(credentials, () => original.call(this, credentials));
  };
}

/** How unix sockets are listened on, and what becomes of their connections. */
export interface UnixListening {
  /** Listens on a path, or an abstract name, which starts with NUL. May throw. */
  listen(path: string, onConnection: (fd: number) => void): ListenHandle;
  /** Takes over a connected socket, and passes what opens its net.Socket to `accept`. */
  onConnection(fd: number, accept: (open: () => net.Socket) => void): void;
  /** Paths may be listened on by the primary process of node:cluster, with the backlog, the mode and the owner of stock. */
  readonly sharesPaths: boolean;
}

/** Has `server` listen on unix paths with `unix`, and on anything else as ever. */
export function listenOnUnixPathsWith(server: AnyHttp2Server, unix: UnixListening): void {
  const stockListen = server.listen;
  const books = server as unknown as {
    _handle: ListenHandle | null;
    _pipeName: string;
    _connections: number;
  };
  if (!('_handle' in server) || !('_connections' in server))
    throw changed('net.Server._handle and _connections');
  const onConnection = (fd: number): void =>
    unix.onConnection(fd, (open) => {
      const socket = open();
      Object.assign(socket, { server, _server: server });
      books._connections++;
      server.emit('connection', socket);
    });
  server.listen = function (this: AnyHttp2Server, ...args: unknown[]) {
    const [address, callback] = args;
    const path = (address as { path?: unknown } | undefined)?.path;
    if (typeof path !== 'string') return Reflect.apply(stockListen, this, args);
    if (cluster.isWorker && unix.sharesPaths && !path.startsWith('\0')) {
      server.prependOnceListener('listening', () => takeConnectionsOf(books._handle, onConnection));
      return Reflect.apply(stockListen, this, args);
    }
    if (typeof callback === 'function') server.once('listening', callback as () => void);
    try {
      books._handle = unix.listen(path, onConnection);
      books._pipeName = path;
    } catch (error) {
      nextTick(() => server.emit('error', error as Error));
      return this;
    }
    nextTick(() => {
      if (books._handle !== null) server.emit('listening');
    });
    return this;
  } as typeof server.listen;
}

/** The handle of a net.Server of stock: a Pipe, or what node:cluster puts in its place. */
interface StockListenHandle extends ListenHandle {
  onconnection?(status: number, client?: { readonly fd: number; close(): void }): void;
}

/** Has `onConnection` take over what comes to `handle`, from which nothing has been read. */
function takeConnectionsOf(handle: StockListenHandle | null, onConnection: (fd: number) => void): void {
  const stock = handle?.onconnection;
  if (handle === null || typeof stock !== 'function') throw changed("onconnection of a net.Server's handle");
  handle.onconnection = function (status, client) {
    if (status !== 0 || client === undefined) {
      stock.call(this, status, client);
      return;
    }
    let fd: number;
    try {
      fd = native.duplicate(client.fd);
    } catch (error) {
      process.emitWarning(error as Error);
      return;
    } finally {
      client.close();
    }
    onConnection(fd);
  };
}

/** What net.Server gives to the sockets that it accepts: HTTP/2 servers of Node allow half-open sockets. Its types leave it out. */
export function allowsHalfOpen(server: AnyHttp2Server): boolean | undefined {
  return hidden<boolean>(server, 'allowHalfOpen');
}

/** Credentials that stand inside `createServerCredentialsWithInterceptors(credentials, …)`. */
export function childCredentialsOf(credentials: grpc.ServerCredentials): grpc.ServerCredentials | undefined {
  const child = hidden<unknown>(credentials, 'childCredentials');
  return child instanceof grpc.ServerCredentials ? child : undefined;
}

/** The HTTP/2 stream of a call as a handler sees it: below the chain of interceptors (`nextCall`) is the one with a stream. */
export function streamOf(call: object): ServerHttp2Stream | undefined {
  let next = hidden<object>(call, 'call');
  while (next !== undefined && next !== null) {
    const stream = hidden<ServerHttp2Stream>(next, 'stream');
    if (stream !== undefined) return stream;
    next = hidden<object>(next, 'nextCall');
  }
  return undefined;
}
