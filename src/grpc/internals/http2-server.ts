/**
 * Listens for a grpc.Server.
 *
 * For each address, grpc.Server makes an HTTP/2 server in createHttp2Server(). It listens with that server, and unbind, drain,
 * tryShutdown and forceShutdown use it. So the HTTP/2 server stays, and only its listen() changes: a handle of this package replaces the
 * Pipe. By `_handle`, `_pipeName`, `_connections`, and `_server` of a socket, net.Server knows that it listens, at which path, and when its
 * last connection has closed (`lib/net.js`). The address of an `fd:` target tells by its handle what it is (`fd-target.ts`).
 *
 * In a worker process of node:cluster, the primary process listens, so that all workers can share a path. There, net.Server listens as
 * it does without this package, and only the `onconnection` of its handle is replaced, before a connection has come. `cluster.isWorker` is
 * false in a thread of such a process, which listens by itself with stock, too.
 */

import {
  constants,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type * as net from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { changed, hidden } from '../../internals/hidden.js';
import { isClusterWorker } from '../../internals/net-handle.js';
import { native } from '../../native/binding.js';
import { clearTimeout, nextTick, setTimeout } from '../../timers.js';
import { fdOfAddress } from './fd-target.js';

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

/** Replaces createHttp2Server of `prototype`, that of a grpc.Server, with `wrap`, which can call the original. */
export function replaceCreateHttp2Server(
  prototype: grpc.Server,
  wrap: (
    credentials: grpc.ServerCredentials,
    original: () => AnyHttp2Server,
    server: grpc.Server,
  ) => AnyHttp2Server,
): void {
  const internals = prototype as unknown as GrpcServerInternals;
  const original = internals.createHttp2Server;
  if (typeof original !== 'function') throw changed('grpc.Server.createHttp2Server');
  internals.createHttp2Server = function (this: GrpcServerInternals, credentials) {
    return wrap(credentials, () => original.call(this, credentials), this as unknown as grpc.Server);
  };
}

/** A path, or an abstract name, which starts with NUL; or what stands behind `fd:`. */
export type UnixPlace = { readonly path: string } | { readonly inherited: string };

type UnixHandle = ListenHandle & { readonly address: string };

/** Listens on unix sockets, and takes over their connections. */
export interface UnixListening {
  /**
   * `address` of the result is the path or the abstract name at which it listens. May throw. The promise is for a path that has to be
   * waited for.
   */
  listen(place: UnixPlace, onConnection: (fd: number) => void): UnixHandle | Promise<UnixHandle>;
  /** Takes over a connected socket, and passes what opens its net.Socket to `accept`, now or later. */
  onConnection(fd: number, accept: Accept): void;
  /** Called before the primary process of node:cluster listens at a path. May throw. */
  prepareShared(path: string): void;
  /** Of a path that the primary process of node:cluster listens at. Undefined for the default of Node.js. */
  readonly backlog: number | undefined;
  /** Paths may be listened on by the primary process of node:cluster, with the mode and the owner of stock. */
  readonly sharesPaths: boolean;
}

/** Gives `server` a connection that it did not accept itself. `open` opens its net.Socket. */
export type Accept = (open: () => net.Socket) => void;

/** Makes `server` listen on unix paths and inherited sockets with `unix`. Other addresses are left to Node. */
export function listenOnUnixPathsWith(server: AnyHttp2Server, unix: UnixListening): Accept {
  const stockListen = server.listen;
  const internals = server as unknown as {
    _handle: ListenHandle | null;
    _pipeName: string;
    _connections: number;
  };
  if (!('_handle' in server) || !('_connections' in server))
    throw changed('net.Server._handle and _connections');
  const accept: Accept = (open) => {
    const socket = open();
    Object.assign(socket, { server, _server: server });
    internals._connections++;
    server.emit('connection', socket);
  };
  const onConnection = (fd: number): void => unix.onConnection(fd, accept);
  server.listen = function (this: AnyHttp2Server, ...args: unknown[]) {
    const [address, callback] = args;
    const place = unixPlaceOf(address);
    if (place === undefined) return Reflect.apply(stockListen, this, args);
    const failed = (error: unknown): void => nextTick(() => server.emit('error', error as Error));
    if (isClusterWorker() && unix.sharesPaths && 'path' in place && !place.path.startsWith('\0')) {
      try {
        unix.prepareShared(place.path);
      } catch (error) {
        failed(error);
        return this;
      }
      server.prependOnceListener('listening', () => takeConnectionsOf(internals._handle, onConnection));
      const shared = { ...(address as object), backlog: unix.backlog };
      return Reflect.apply(stockListen, this, [shared, ...args.slice(1)]);
    }
    if (typeof callback === 'function') server.once('listening', callback as () => void);
    const listening = (handle: UnixHandle): void => {
      internals._handle = handle;
      internals._pipeName = handle.address;
      nextTick(() => {
        if (internals._handle !== null) server.emit('listening');
      });
    };
    try {
      const handle = unix.listen(place, onConnection);
      // grpc.Server closes a server only after it has listened.
      if (handle instanceof Promise) handle.then(listening, failed);
      else listening(handle);
    } catch (error) {
      failed(error);
    }
    return this;
  } as typeof server.listen;
  return accept;
}

/** Calls `run` when `server` is about to stop listening. */
export function beforeClose(server: AnyHttp2Server, run: () => void): void {
  const { close } = server;
  server.close = function (this: AnyHttp2Server, ...args: Parameters<typeof close>) {
    run();
    return close.apply(this, args);
  } as typeof close;
}

/** A status of gRPC. */
export interface CallStatus {
  readonly code: number;
  readonly details: string;
}

/**
 * Asks `refusalOf` about each call that comes to `server`. The HTTP/2 session emits 'stream' on its server, where grpc-js listens. A call
 * that is refused is answered with the status, as grpc-js answers a method that does not exist, and grpc-js does not hear of it.
 */
export function refuseStreamsWith(
  server: AnyHttp2Server,
  refusalOf: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => CallStatus | undefined,
): void {
  const { emit } = server;
  server.emit = function (this: AnyHttp2Server, event: string | symbol, ...args: unknown[]): boolean {
    if (event === 'stream') {
      const [stream, headers] = args as [ServerHttp2Stream, IncomingHttpHeaders];
      const status = refusalOf(stream, headers);
      if (status !== undefined) {
        answer(stream, status);
        return true;
      }
    }
    return Reflect.apply(emit, this, [event, ...args]);
  };
}

function answer(stream: ServerHttp2Stream, { code, details }: CallStatus): void {
  // What the client still sends is of no interest, and a reset of it is none of an error.
  stream.on('error', () => {});
  if (stream.closed || stream.destroyed) return;
  const headers = {
    ':status': 200,
    'content-type': 'application/grpc+proto',
    'grpc-status': code,
    'grpc-message': encodeURI(details),
  };
  stream.respond(headers, { endStream: true });
  stream.resume();
  // A client ends its side when it has the status. A reset that follows at once would replace the status where that still waits to be sent:
  // nghttp2 1.70, of Node.js 26, drops it then.
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), RESET_AFTER_MS).unref();
  stream.once('close', () => clearTimeout(timer));
}

/** How long the client of a refused call may go on writing. */
const RESET_AFTER_MS = 1_000;

function unixPlaceOf(address: unknown): UnixPlace | undefined {
  if (typeof address !== 'object' || address === null) return undefined;
  const inherited = fdOfAddress(address);
  if (inherited !== undefined) return { inherited };
  const path = hidden<unknown>(address, 'path');
  return typeof path === 'string' ? { path } : undefined;
}

/** The handle of a net.Server of stock: a Pipe, or what node:cluster puts in its place. */
interface StockListenHandle extends ListenHandle {
  onconnection?(status: number, client?: { readonly fd: number; close(): void }): void;
}

/** Makes `onConnection` take over the connections of `handle`. Nothing has been read from them. */
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

/** The credentials inside those of `createServerCredentialsWithInterceptors(credentials, …)`. */
export function childCredentialsOf(credentials: grpc.ServerCredentials): grpc.ServerCredentials | undefined {
  const child = hidden<unknown>(credentials, 'childCredentials');
  return child instanceof grpc.ServerCredentials ? child : undefined;
}

/**
 * The HTTP/2 stream of the call that a handler of grpc-js gets, of the call that a server interceptor gets, or of a request of node:http2.
 * Undefined for anything else. Interceptors form a chain (`nextCall`), and the last call has the stream.
 */
export function streamOf(call: object): ServerHttp2Stream | undefined {
  let next: object | null | undefined = hidden<object>(call, 'call') ?? call;
  while (next !== undefined && next !== null) {
    const stream = hidden<ServerHttp2Stream>(next, 'stream');
    if (stream !== undefined) return stream;
    next = hidden<object>(next, 'nextCall');
  }
  return undefined;
}
