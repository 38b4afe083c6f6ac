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
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import * as net from 'node:net';
import { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';
import type { UnixStream } from '../socket/unix-stream.js';
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
// 1. A socket for Node's HTTP/2 and TLS over a UnixStream.
//
// HTTP/2 sessions and TLS sockets take a net.Socket whose handle is a native stream, and wrap any other Duplex in a
// JSStreamSocket. That wrapper forwards neither ref/unref (an idle client would never let the process exit) nor the
// peer's name, and puts two stream machineries on the path of every byte. So this class is such a wrapper of our own,
// over the same native class, JSStream, without a Duplex in between.

/** Node's `JSStream`: a native stream whose operations are answered by functions set on the instance. */
interface JSStream {
  close(callback: () => void): void;
  isClosing(): boolean;
  onreadstart(): number;
  onreadstop(): number;
  onwrite(request: object, buffers: Buffer[]): number;
  onshutdown(request: object): number;
  ref(): void;
  unref(): void;
  hasRef(): boolean;
  getpeername(out: { address?: string; family?: string }): number;
  readBuffer(chunk: Uint8Array): void;
  emitEOF(): void;
  finishWrite(request: object, status: number): void;
  finishShutdown(request: object, status: number): void;
}

const kSelf = Symbol('grpcfd.StreamSocket');

let jsStreamClass: (new () => JSStream) | undefined;

/** JSStream is not exported; a TLS socket over any Duplex has one inside (`_tls_wrap.js`, `_wrapHandle`). */
function newJSStream(): JSStream {
  if (jsStreamClass === undefined) {
    const probe = new TLSSocket(new Duplex({ read() {}, write() {} }) as net.Socket);
    const handle = hidden<{ _parentWrap?: { _handle?: JSStream } }>(probe, '_handle')?._parentWrap?._handle;
    const found = handle?.constructor as (new () => JSStream) | undefined;
    probe.destroy();
    if (handle === undefined || found?.name !== 'JSStream') throw changed("Node's JSStream");
    for (const method of ['readBuffer', 'emitEOF', 'finishWrite', 'finishShutdown'] as const) {
      if (typeof handle[method] !== 'function') throw changed(`JSStream.${method}`);
    }
    jsStreamClass = found;
  }
  return new jsStreamClass();
}

/** The memory of a smaller write is left to the collector: freeing it takes longer than it saves. A frame of HTTP/2 has 16 KiB. */
const FREED_WRITE_BYTES = 16 * 1024;

const UV_ECANCELED = -125;
const UV_EPIPE = -32;

/**
 * A net.Socket over a {@link UnixStream}, for http2 and tls. It owns the stream: destroying the one closes the other.
 * `received`, `ended` and `failed` are to be called from the stream's listener.
 */
export class StreamSocket extends net.Socket {
  readonly [kSelf] = this;
  readonly #stream: UnixStream;
  readonly #jsStream: JSStream;
  #write: object | null = null;
  /** What it consists of: copies that JSStream made for it, and nobody else has. */
  #buffers: readonly Buffer[] = [];
  readonly #onWritten = (error: Error | null) => this.#finishWrite(error);
  /** The write in progress has gone, and nobody was told yet. */
  #written = false;
  /** Inside of `received`, where HTTP/2 answers. */
  #delivering = false;
  #shutdown: object | null = null;
  #shutdownStarted = false;
  #reading = false;
  #writeFailed = false;
  #closing = false;

  /** @param onClosed runs once, in the turn in which the stream has been closed. */
  constructor(stream: UnixStream, peerName: string, onClosed: () => void) {
    const handle = newJSStream();
    handle.isClosing = () => this.#closing;
    handle.onreadstart = () => {
      this.#reading = true;
      stream.readStart();
      return 0;
    };
    handle.onreadstop = () => {
      this.#reading = false;
      stream.readStop();
      if (this.#writeFailed) setImmediate(StreamSocket.closeIfStuck, this);
      return 0;
    };
    handle.onwrite = (request, buffers) => this.#onWrite(request, buffers);
    handle.onshutdown = (request) => this.#onShutdown(request);
    handle.close = (callback) => this.#onClose(callback, onClosed);
    handle.ref = () => stream.ref();
    handle.unref = () => stream.unref();
    handle.hasRef = () => stream.hasRef();
    handle.getpeername = (out) => {
      out.address = peerName;
      return 0;
    };
    super({ handle, manualStart: true } as net.SocketConstructorOpts);
    this.#stream = stream;
    this.#jsStream = handle;
    // http2 and tls expect a socket that reads already. Nothing is delivered before the next turn of the loop.
    this.read(0);
  }

  received(chunk: Uint8Array): void {
    if (this.#closing) return;
    this.#delivering = true;
    try {
      this.#jsStream.readBuffer(chunk);
    } finally {
      this.#delivering = false;
      if (this.#written) this.#finishWrite(null);
    }
  }

  ended(): void {
    if (!this.#closing) this.#jsStream.emitEOF();
  }

  failed(error: Error): void {
    this.destroy(error);
  }

  #onWrite(request: object, buffers: Buffer[]): number {
    if (this.#closing) return UV_ECANCELED;
    this.#write = request;
    this.#buffers = buffers;
    const done = this.#stream.write(buffers, this.#onWritten);
    // A native writer is still inside its own call here, so even a finished write is reported later: after the bytes that it
    // answers have been delivered, or in a turn of its own, which lets writes gather into the next sendmsg.
    this.#written = done;
    if (done && !this.#delivering) setImmediate(StreamSocket.finishWrite, this);
    return 0;
  }

  #finishWrite(error: Error | null): void {
    const request = this.#write;
    if (request === null) return;
    this.#write = null;
    this.#written = false;
    // A stream in bulk has the collector run twice as often if it is left to find them.
    if (sizeOf(this.#buffers) >= FREED_WRITE_BYTES) native.freeBuffers(this.#buffers);
    this.#buffers = [];
    this.#jsStream.finishWrite(request, error === null ? 0 : errnoOf(error));
    if (error !== null) {
      this.#writeFailed = true;
      setImmediate(StreamSocket.closeIfStuck, this);
    }
    // TLS asks for the shutdown while its last write is under way.
    if (this.#shutdown !== null && !this.#closing) this.#startShutdown(this.#shutdown);
  }

  /** For setImmediate, without a closure for each write. */
  static finishWrite(socket: StreamSocket): void {
    // What came in meanwhile may have finished that write, and another one may be under way.
    if (socket.#written) socket.#finishWrite(null);
  }

  /**
   * A TLSWrap whose write of its own failed (a session ticket, to a peer that hung up) takes no write any more and ends none, and
   * HTTP/2 reads nothing while it waits for one: nobody would ever come to the end of the stream. Node's own Pipe is spared
   * because libuv reports a hang-up in the same turn as the bytes before it (`src/crypto/crypto_tls.cc`, EncOut).
   */
  static closeIfStuck(socket: StreamSocket): void {
    if (!socket.#reading && socket.#write === null) socket.destroy();
  }

  #onShutdown(request: object): number {
    if (this.#closing) return UV_ECANCELED;
    this.#shutdown = request;
    if (this.#write === null) this.#startShutdown(request);
    return 0;
  }

  #startShutdown(request: object): void {
    // Once, though TLS may write between the end of its last write and this.
    if (this.#shutdownStarted) return;
    this.#shutdownStarted = true;
    setImmediate(() => {
      if (this.#closing) return;
      this.#stream.shutdown((error) => this.#finishShutdown(request, error === null ? 0 : errnoOf(error)));
    });
  }

  #finishShutdown(request: object, status: number): void {
    if (this.#shutdown !== request) return;
    this.#shutdown = null;
    this.#jsStream.finishShutdown(request, status);
  }

  #onClose(callback: () => void, onClosed: () => void): void {
    this.#closing = true;
    this.#stream.close();
    onClosed();
    setImmediate(() => {
      const write = this.#write;
      this.#write = null;
      if (write !== null) this.#jsStream.finishWrite(write, UV_ECANCELED);
      if (this.#shutdown !== null) this.#finishShutdown(this.#shutdown, UV_ECANCELED);
      callback();
    });
  }
}

function sizeOf(buffers: readonly Uint8Array[]): number {
  let size = 0;
  for (const { length } of buffers) size += length;
  return size;
}

function errnoOf(error: Error): number {
  const { errno } = error as NodeJS.ErrnoException;
  return typeof errno === 'number' && errno < 0 ? errno : UV_EPIPE;
}

/**
 * The StreamSocket that an HTTP/2 session runs over, below its TLS socket if it has one. `session.socket` is a Proxy that
 * only hands properties on, hence the property; `_parent` is what a TLSSocket was made from (`_tls_wrap.js`).
 */
export function streamSocketOf(session: ServerHttp2Session): StreamSocket | undefined {
  const socket = session.socket;
  const found = hidden<StreamSocket>(socket, kSelf);
  if (found !== undefined) return found;
  const parent = hidden<net.Socket | null>(socket, '_parent');
  return parent === undefined || parent === null ? undefined : hidden<StreamSocket>(parent, kSelf);
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
  listen: (path: string, accept: (open: () => StreamSocket) => void) => ListenHandle,
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
// 7. Leaving a connection, at a client.
//
// At a server's GOAWAY grpc-js lets the calls that run end on the connection, and makes a new one for those that follow. A client
// that lost descriptors wants just that. The session learns it by the event that a GOAWAY frame would cause (`transport.js`);
// Node keeps a socket's session under `socket[kBoundSession]` (`lib/internal/http2/core.js`); that key is imported from where it is
// not exported, and so is 'undefined' up to now. Hence the look at every property.

/** Has grpc-js make a new connection for further calls. `socket` is what the session of the present one was made with. */
export function leaveConnection(socket: net.Socket): void {
  const session = Reflect.ownKeys(socket)
    .map((key) => hidden<ClientHttp2Session>(socket, key))
    .find((value) => typeof value === 'object' && value !== null && 'goaway' in value);
  if (session !== undefined) session.emit('goaway', constants.NGHTTP2_NO_ERROR, 0);
  else socket.destroy(changed("the session of a client's socket"));
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

// ---------------------------------------------------------------------------------------------------------------------
// 9. A session that is on its way out when its server shuts down.
//
// tryShutdown() gives each session's close() a callback, and waits for it (`server.ts`, closeSession). Once a peer's hang-up has
// destroyed a session, and until its socket has closed, Node's close() does nothing, and drops the callback
// (`lib/internal/http2/core.js`): tryShutdown() would never end.

/** Has `session.close(callback)` call back whenever the session closes. */
export function alwaysCallBackOnClose(session: ServerHttp2Session): void {
  const { close } = session;
  session.close = (callback) => {
    if (callback !== undefined && session.destroyed && !session.closed) session.once('close', callback);
    else close.call(session, callback);
  };
}
