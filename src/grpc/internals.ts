/**
 * Everything that leans on what Node or grpc-js do not document, in one place. Each part says why it is needed, what is
 * used, and where it was read; `test/grpc/internals.test.ts` holds a contract test for each, run on every supported
 * version of both. A missing part fails with ERR_GRPCFD_INTERNALS_CHANGED, never in silence. It is longer than a file should be,
 * so that a new version of either has one file to be read against.
 *
 * Read in: Node 20, 22, 24 and 26 (`lib/net.js`, `lib/_tls_wrap.js`, `lib/internal/js_stream_socket.js`,
 * `lib/internal/http2/core.js`, `src/js_stream.cc`), @grpc/grpc-js 1.13.0 and 1.14.
 */

import type { OutgoingHttpHeaders } from 'node:http';
import {
  type ClientHttp2Session,
  constants,
  type Http2SecureServer,
  type Http2Server,
  type Http2Stream,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import * as net from 'node:net';
import { constants as systemConstants } from 'node:os';
import * as grpc from '@grpc/grpc-js';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';
import { BridgedStream, type BridgedStreamListener } from '../socket/bridged-stream.js';
import { nextTick, setImmediate } from '../timers.js';

function changed(what: string): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_INTERNALS_CHANGED',
    `grpcfd relies on ${what}, which Node ${process.version} or the installed @grpc/grpc-js does not have. ` +
      'Use versions that the README lists, or report this as a bug.',
  );
}

/** A property that the public type does not have; undefined where the object does not have it either. */
function hidden<T>(object: object, key: string | symbol): T | undefined {
  return Reflect.get(object, key) as T | undefined;
}

// ---------------------------------------------------------------------------------------------------------------------
// 1. A net.Socket for a connection that carries descriptors.
//
// HTTP/2 and TLS get a stock net.Socket over one end of a socketpair (`src/socket/bridged-stream.ts`). Two methods of its handle
// are replaced. Every close of a net.Socket goes through its handle's `close` (`lib/net.js`, _destroy; a TLSSocket destroys the
// socket below it), so that is where the bridge learns that libuv's stream is about to go. `getpeername`, which a Pipe does not
// have, is asked for `remoteAddress`, by a TLSSocket too (`_tls_wrap.js`, proxiedMethods).

const kSelf = Symbol('grpcfd.socket');

interface PipeHandle {
  close(callback?: () => void): void;
  getpeername?(out: { address?: string }): number;
}

export interface BridgedConnection {
  /** For HTTP/2 or TLS. Destroying it closes the connection. */
  readonly socket: net.Socket;
  readonly stream: BridgedStream;
}

export interface BridgedConnectionListener extends Pick<BridgedStreamListener, 'onDescriptors'> {
  /** As {@link BridgedStreamListener.onStalled}. */
  onStalled?(): void;
  /** Runs once, in the turn in which the socket is destroyed, before its 'close'. */
  onClosed(): void;
}

/** Takes over `fd`, a connected unix socket, and closes it when this throws. `allowHalfOpen` is that of the socket. */
export function bridgedConnection(
  fd: number,
  allowHalfOpen: boolean,
  listener: BridgedConnectionListener,
): BridgedConnection {
  let pair: [number, number];
  try {
    pair = native.socketPair();
  } catch (error) {
    native.close(fd);
    throw error;
  }
  const [near, far] = pair;
  let socket: net.Socket | undefined;
  try {
    const { pid, uid, gid } = native.peerCredentials(fd);
    native.unguard(near);
    const opened = new net.Socket({ fd: near, allowHalfOpen, readable: true, writable: true });
    socket = opened;
    const stream = new BridgedStream(fd, far, near, {
      onDescriptors: (fds, truncated) => listener.onDescriptors(fds, truncated),
      onFailed: (error) => opened.destroy(connectionFailed(error)),
      onStalled: () => listener.onStalled?.(),
      onClosed: () => listener.onClosed(),
    });
    hookHandle(opened, `unix:pid=${pid},uid=${uid},gid=${gid}`, (close) => stream.close(close));
    return { socket, stream };
  } catch (error) {
    native.closeAll(socket === undefined ? [fd, far, near] : [fd, far]);
    socket?.destroy();
    throw error;
  }
}

/** For calls on a connection that has failed, grpc-js makes UNAVAILABLE of this code; the text is the reason. */
export function connectionFailed(cause: Error): Error {
  const { errno, syscall } = cause as NodeJS.ErrnoException;
  const error = new Error(`the connection failed: ${cause.message}`, { cause });
  return Object.assign(error, { code: 'ECONNRESET', errno, syscall });
}

function hookHandle(socket: net.Socket, peerName: string, onClose: (close: () => void) => void): void {
  const handle = hidden<PipeHandle>(socket, '_handle');
  if (typeof handle?.close !== 'function') throw changed('the handle of a net.Socket');
  const { close } = handle;
  handle.close = (callback) => {
    handle.close = close;
    onClose(() => close.call(handle, callback));
  };
  handle.getpeername = (out) => {
    out.address = peerName;
    return 0;
  };
  // A Proxy of the socket, which is what `session.socket` is, hands on properties only.
  Object.defineProperty(socket, kSelf, { value: socket });
}

function errnoOf(error: Error): number {
  const { errno } = error as NodeJS.ErrnoException;
  return typeof errno === 'number' && errno < 0 ? errno : -systemConstants.errno.EPIPE;
}

/**
 * The bridged socket that an HTTP/2 session runs over, below its TLS socket if it has one. `session.socket` is a Proxy that
 * only hands properties on, hence the property; `_parent` is what a TLSSocket was made from (`_tls_wrap.js`).
 */
export function bridgedSocketOf(session: ServerHttp2Session): net.Socket | undefined {
  const socket = session.socket;
  const found = hidden<net.Socket>(socket, kSelf);
  if (found !== undefined) return found;
  const parent = hidden<net.Socket | null>(socket, '_parent');
  return parent === undefined || parent === null ? undefined : hidden<net.Socket>(parent, kSelf);
}

// ---------------------------------------------------------------------------------------------------------------------
// 2. Taking a connection over from net.Socket.
//
// grpc-js connects a net.Socket itself and hands it to the credentials' connector. Node would read its bytes with a plain
// read, which drops descriptors for good, so the descriptor is taken over in the same turn.

/** Whether a connected socket is a unix domain socket. Its handle is a Pipe; TCP sockets have a TCP (`lib/net.js`). */
export function isUnixSocket(socket: net.Socket): boolean {
  const handle = hidden<object>(socket, '_handle');
  return (
    handle !== undefined &&
    handle !== null &&
    (handle instanceof UnixHandle || handle.constructor.name === 'Pipe')
  );
}

/**
 * Takes the connection of a connected unix socket from which nothing has been read, and destroys the socket.
 * Returns a descriptor that the caller owns.
 */
export function takeConnection(socket: net.Socket): number {
  const handle = hidden<{ fd?: number }>(socket, '_handle');
  const fd = handle?.fd;
  if (typeof fd !== 'number' || fd < 0) throw changed('the fd of a net.Socket handle');
  try {
    return native.duplicate(fd);
  } finally {
    socket.destroy();
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// 3. unix-abstract targets.
//
// grpc-js has no resolver for `unix-abstract:`; its own for `unix:` gives an address in the right shape for the installed
// version, so ours asks that one. Node 20 pads an abstract name with NULs up to the length of the address, so that no other
// program finds it (nodejs/node issue 50889): there, the address also carries a `handle`, which net.connect() takes instead
// of a Pipe of its own, and which connects to the exact name.

const NODE_PADS_ABSTRACT_NAMES = Number(process.versions.node.split('.')[0]) < 22;

/** What net.Socket needs of a handle until grpc-js hands the connected socket over. */
class UnixHandle {
  fd = -1;
  reading = false;

  connect(
    request: {
      oncomplete(
        status: number,
        handle: unknown,
        request: unknown,
        readable: boolean,
        writable: boolean,
      ): void;
    },
    path: string,
  ): number {
    let status = 0;
    try {
      this.fd = native.connectUnix(Buffer.from(path));
    } catch (error) {
      status = errnoOf(error as Error);
    }
    setImmediate(() => request.oncomplete(status, this, request, true, true));
    return 0;
  }

  /** Nothing is read here: the socket is taken over as soon as it has connected. */
  readStart(): number {
    return 0;
  }

  readStop(): number {
    return 0;
  }

  close(callback?: () => void): void {
    if (this.fd >= 0) native.close(this.fd);
    this.fd = -1;
    if (callback !== undefined) setImmediate(callback);
  }

  ref(): void {}

  unref(): void {}
}

type ResolverArguments = Parameters<typeof grpc.experimental.createResolver>;

class UnixAbstractResolver {
  static getDefaultAuthority(): string {
    return 'localhost';
  }

  readonly #unix: grpc.experimental.Resolver;

  constructor(target: ResolverArguments[0], listener: ResolverArguments[1], options: ResolverArguments[2]) {
    this.#unix = grpc.experimental.createResolver(
      { scheme: 'unix', path: `\0${target.path}` },
      listener,
      options,
    );
    if (NODE_PADS_ABSTRACT_NAMES) {
      const address = hidden<{ addresses: object[] }[]>(this.#unix, 'endpoints')?.[0]?.addresses[0];
      if (address === undefined) throw changed("the endpoints of grpc-js's resolver for unix targets");
      Object.defineProperty(address, 'handle', { enumerable: true, get: () => new UnixHandle() });
    }
  }

  updateResolution(): void {
    this.#unix.updateResolution();
  }

  destroy(): void {
    this.#unix.destroy();
  }
}

let resolverRegistered = false;

/** Makes `unix-abstract:` a scheme of grpc-js, in this process, for channels and for bindAsync(). */
export function registerUnixAbstractResolver(): void {
  if (resolverRegistered) return;
  resolverRegistered = true;
  grpc.experimental.registerResolver('unix-abstract', UnixAbstractResolver);
}

// ---------------------------------------------------------------------------------------------------------------------
// 4. A call's metadata, made at the moment at which its stream starts.
//
// Which connection a call takes is only certain inside session.request(): a slow call credential and a reconnect part what
// was known before from what happens. Metadata values are handed on as they are until Node turns each into a string, right
// there, once. So the value is an object whose toString() does the work.

/** Sets a metadata value that `make` computes inside the session.request() that starts the call's stream. */
export function setMetadataAtStreamStart(metadata: grpc.Metadata, key: string, make: () => string): void {
  const values = hidden<Map<string, unknown[]>>(metadata, 'internalRepr');
  if (!(values instanceof Map)) throw changed('Metadata.internalRepr');
  let made: string | undefined;
  const value = {
    toString() {
      made ??= make();
      return made;
    },
    toJSON: () => '(made when the stream starts)',
  };
  values.set(key, [value]);
}

/** `CallCredentials.createEmpty()` is not abstract and not exported: an instance is how grpc-js knows "no credentials". */
export const EmptyCallCredentials = grpc.credentials.createEmpty()
  .constructor as new () => grpc.CallCredentials;

export function isEmptyCallCredentials(credentials: grpc.CallCredentials): boolean {
  return credentials instanceof EmptyCallCredentials;
}

/** The credentials that a composed CallCredentials is made of; for any other, itself. */
export function componentsOf(credentials: grpc.CallCredentials): readonly grpc.CallCredentials[] {
  const components = hidden<grpc.CallCredentials[]>(credentials, 'creds');
  return Array.isArray(components) ? components.flatMap(componentsOf) : [credentials];
}

// ---------------------------------------------------------------------------------------------------------------------
// 5. The course of a client call.
//
// No interceptor can be used to learn of a call's end: interceptors of a call replace those of its client. The channel's
// call object sees all: cancelled calls, calls that never got a connection, retries, hedges.

/** What is told of a client call. Each is called at most once, in this order. */
export interface CallObserver {
  started(): void;
  /**
   * The first response headers came: no further attempt can follow. Not called for a response without headers. What is taken
   * out of the metadata does not reach the user.
   */
  committed(headers: grpc.Metadata): void;
  /** `trailers` are the server's, or empty; see {@link committed}. */
  ended(trailers: grpc.Metadata): void;
}

interface ChannelCall {
  setCredentials(credentials: grpc.CallCredentials): void;
  start(metadata: grpc.Metadata, listener: ChannelCallListener): void;
}

interface ChannelCallListener {
  onReceiveMetadata(metadata: grpc.Metadata): void;
  onReceiveMessage(message: unknown): void;
  onReceiveStatus(status: grpc.StatusObject): void;
}

/** Gives the credentials to use instead, and who is to be told of the call's course; undefined leaves the call alone. */
export type CallHook = (
  credentials: grpc.CallCredentials,
) => { credentials: grpc.CallCredentials; observer: CallObserver } | undefined;

let callHookInstalled = false;

/** Has `hook` asked about every call that is given credentials of its own, on any channel of this process. */
export function installCallHook(hook: CallHook): void {
  if (callHookInstalled) return;
  callHookInstalled = true;
  // The class of the call object is not exported: the first call that a channel creates shows it.
  const channel = grpc.Channel.prototype as unknown as { createCall(...args: unknown[]): ChannelCall };
  const createCall = channel.createCall;
  if (typeof createCall !== 'function') throw changed('Channel.createCall');
  let hooked = false;
  function createCallOnce(this: unknown, ...args: unknown[]): ChannelCall {
    const call = createCall.apply(this, args);
    // A second copy of this package may have wrapped this in turn: then it stays where it is.
    if (channel.createCall === createCallOnce) channel.createCall = createCall;
    if (!hooked) hookCallClass(call, hook);
    hooked = true;
    return call;
  }
  channel.createCall = createCallOnce;
}

function hookCallClass(sample: ChannelCall, hook: CallHook): void {
  const prototype = Object.getPrototypeOf(sample) as ChannelCall;
  const { setCredentials } = prototype;
  if (typeof setCredentials !== 'function' || typeof prototype.start !== 'function') {
    throw changed("setCredentials and start of a channel's call");
  }
  prototype.setCredentials = function (this: ChannelCall, credentials) {
    const hooked = hook(credentials);
    setCredentials.call(this, hooked === undefined ? credentials : hooked.credentials);
    if (hooked !== undefined) observe(this, hooked.observer);
  };
}

function observe(call: ChannelCall, observer: CallObserver): void {
  const { start } = call;
  call.start = function (this: ChannelCall, metadata, listener) {
    observer.started();
    start.call(this, metadata, {
      onReceiveMetadata(received) {
        observer.committed(received);
        listener.onReceiveMetadata(received);
      },
      onReceiveMessage(message) {
        listener.onReceiveMessage(message);
      },
      onReceiveStatus(status) {
        observer.ended(status.metadata);
        listener.onReceiveStatus(status);
      },
    });
  };
}

// ---------------------------------------------------------------------------------------------------------------------
// 6. Listening for a grpc.Server.
//
// grpc.Server makes one HTTP/2 server for each address in createHttp2Server(), listens with it, and keeps its books by it
// (unbind, drain, tryShutdown, forceShutdown). So the HTTP/2 server stays, and only what is behind its listen() changes: a
// handle of ours where a Pipe would be. `_handle`, `_pipeName`, `_connections` and a socket's `_server` are how net.Server
// knows that it listens, on what, and that its last connection has gone (`lib/net.js`).

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

/**
 * Has `server` listen on unix paths with `listen`, and on anything else as ever. `listen` gets the path (an abstract name
 * starts with NUL) and may throw; its `accept` takes each connection's socket.
 */
export function listenOnUnixPathsWith(
  server: AnyHttp2Server,
  listen: (path: string, accept: (open: () => net.Socket) => void) => ListenHandle,
): void {
  const stockListen = server.listen;
  const books = server as unknown as {
    _handle: ListenHandle | null;
    _pipeName: string;
    _connections: number;
  };
  if (!('_handle' in server) || !('_connections' in server))
    throw changed('net.Server._handle and _connections');
  server.listen = function (this: AnyHttp2Server, ...args: unknown[]) {
    const [address, callback] = args;
    const path = (address as { path?: unknown } | undefined)?.path;
    if (typeof path !== 'string') return Reflect.apply(stockListen, this, args);
    if (typeof callback === 'function') server.once('listening', callback as () => void);
    try {
      books._handle = listen(path, (open) => {
        const socket = open();
        Object.assign(socket, { server, _server: server });
        books._connections++;
        server.emit('connection', socket);
      });
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

// ---------------------------------------------------------------------------------------------------------------------
// 7. The session of a socket, and its streams.
//
// grpc-js keeps its client's session to itself. Node keeps a socket's session under `socket[kBoundSession]`, and a session's streams
// under `session[kState].streams` (`lib/internal/http2/core.js`). The first key is imported from where it is not exported, and so is
// 'undefined' up to now. Hence the look at every property.

type Http2Session = ClientHttp2Session | ServerHttp2Session;

/** The HTTP/2 session over `socket`, which is the one that it was made with. */
export function sessionOf(socket: net.Socket): Http2Session | undefined {
  return Reflect.ownKeys(socket)
    .map((key) => hidden<Http2Session>(socket, key))
    .find((value) => typeof value === 'object' && value !== null && 'goaway' in value && 'ping' in value);
}

/**
 * Has grpc-js make a new connection for further calls, as at a server's GOAWAY: calls that run end on the present one. Its
 * session learns it by the event that the frame would cause (`transport.js`). `socket` is what the session was made with.
 */
export function leaveConnection(socket: net.Socket): void {
  const session = sessionOf(socket);
  if (session !== undefined) session.emit('goaway', constants.NGHTTP2_NO_ERROR, 0);
  else socket.destroy(changed("the session of a client's socket"));
}

/** States of a stream that nghttp2 still has: open, half-closed by one side (NGHTTP2_STREAM_STATE_*). */
const ACTIVE_STATES: ReadonlySet<number | undefined> = new Set([2, 5, 6]);

/**
 * Of a session that does not read what has come, though no write is under way: whether that is for good. nghttp2 wants nothing more
 * after an error that ends the session, of which older versions of Node tell nobody (it is mended by nodejs/node pull request 62867);
 * then its streams never end. It also wants nothing more after a GOAWAY, once no stream is active; then the streams end as their
 * users read them. A user who reads slowly is no reason: HTTP/2 goes on reading.
 */
export function isStuck(session: Http2Session): boolean {
  if (session.destroyed) return false;
  if (!session.closed) return true;
  const key = Reflect.ownKeys(session).find(
    (each) => typeof each === 'symbol' && each.description === 'state',
  );
  const state = key === undefined ? undefined : hidden<{ streams?: Map<number, Http2Stream> }>(session, key);
  if (!(state?.streams instanceof Map)) throw changed("the streams of Node's HTTP/2 session");
  return [...state.streams.values()].some(
    (stream) => !stream.destroyed && ACTIVE_STATES.has(stream.state.state),
  );
}

// ---------------------------------------------------------------------------------------------------------------------
// 8. A header in a call's response, at a server.
//
// grpc-js builds the headers of a response in `server-interceptors.ts` and gives them to the stream's public respond(), also
// those of a call that it refuses before any interceptor runs. No interceptor sees these.

/** Has the response to the call of `stream` carry a header more. It is put into the object that grpc-js made for that response. */
export function addResponseHeader(stream: ServerHttp2Stream, key: string, value: string): void {
  const { respond } = stream;
  stream.respond = (headers: OutgoingHttpHeaders = {}, options) => {
    headers[key] = value;
    respond.call(stream, headers, options);
  };
}
