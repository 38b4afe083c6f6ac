import assert from 'node:assert/strict';
import type { Http2SecureServer, Http2Server, ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import {
  anInteger,
  anObject,
  aString,
  check,
  checkGrpcOptions,
  grpcComplaint,
  type RulesFor,
  rule,
} from '../../checks.js';
import { GrpcFdError } from '../../errors.js';
import { isClusterWorker } from '../../internals/net-handle.js';
import { native, supported } from '../../native/binding.js';
import type { PeerCredentials } from '../../native/peer-types.js';
import { withoutDescriptors } from '../../native/without-addon.js';
import { isAbstract } from '../../socket/address.js';
import { SocketFile } from '../../socket/socket-file.js';
import { UnixListener, type UnixListenerEvents, type UnixListenOptions } from '../../socket/unix-listener.js';
import { nextTick } from '../../timers.js';
import { Connection, type ConnectionOrigin } from '../connection.js';
import { OnConnectionError } from '../connection-failures.js';
import type { FdConnection } from '../fd-transceiver.js';
import { bridgedSocketOf } from '../internals/bridged-socket.js';
import { isInheritedNumber } from '../internals/fd-target.js';
import {
  type AnyHttp2Server,
  allowsHalfOpen,
  beforeClose,
  listenOnUnixPathsWith,
  refuseStreamsWith,
  replaceCreateHttp2Server,
  type UnixPlace,
} from '../internals/http2-server.js';
import { isFromOtherLibrary } from '../internals/user-agent.js';
import { adoptListener, type ConnectedSocket, takeSocket } from '../open-socket.js';
import { checkArguments, type FdServerOptions } from '../options.js';
import { Admission, type Candidate } from './admission.js';
import { endInTwoSteps } from './graceful-end.js';
import { leaveAfterLoss } from './leave-after-loss.js';
import { registerGuarded, registerStream, setConnectionOf } from './server-call.js';
import { fdServerCredentialsIn } from './server-credentials.js';
import { noteRules, warnOfUnmatched } from './unmatched-rules.js';

/** Options of {@link Server.serveConnection}. */
export interface ServeConnectionOptions {
  /**
   * The process at the other end, if the caller knows it. Default: what the kernel says, which is nothing for the end of a socketpair.
   */
  readonly peer?: PeerCredentials | undefined;
}

const SERVE_RULES: RulesFor<ServeConnectionOptions> = { peer: anObject };
const anId = anInteger(0, 2 ** 32 - 1);
const groupIds = rule(
  'an array of group ids',
  (value) => Array.isArray(value),
  (value) => Array.isArray(value) && value.every((each) => anId.hasType(each) && anId.isInRange(each)),
);

function checkPeer({ pid, uid, gid, groups, label }: PeerCredentials): void {
  for (const [name, id] of Object.entries({ pid, uid, gid })) check(grpcComplaint, `peer.${name}`, id, anId);
  if (groups !== undefined) check(grpcComplaint, 'peer.groups', groups, groupIds);
  if (label !== undefined) check(grpcComplaint, 'peer.label', label, aString);
}

/**
 * A grpc.Server whose `bindAsync` takes `serverCredentials()`. Connections to its `unix:`, `unix-abstract:` and `fd:` addresses carry
 * descriptors then. On other addresses, and with other credentials, it works like the stock one.
 *
 * The address `fd:N` is the listening unix socket that this process inherited as N. It is adopted once in the process, and is closed when
 * the server stops listening. Its socket file stays.
 */
export class Server extends grpc.Server {
  readonly #served: { readonly credentials: grpc.ServerCredentials; readonly serve: Serve }[] = [];
  #isShutDown = false;

  /**
   * Serves one connected socket, such as the end of a socketpair to a child process. `tryShutdown` and `forceShutdown` end its connection
   * like any other.
   *
   * @param socket a connected unix stream socket. It belongs to the server from the call on, and has been closed when the promise rejects. It is
   * still yours after `ERR_GRPCFD_INVALID_ARGUMENT`, if the server had been shut down before the call, and if the socket could not be
   * duplicated. That error has the `syscall` `fcntl`, for example with the code EMFILE
   * @param credentials `serverCredentials()`. Use one object for many connections: for each different one, the server keeps some memory
   * @param options Default: none
   * @returns the connection. Its TLS handshake, if it has one, comes later
   * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`, `ERR_GRPCFD_CLOSED` after a shutdown; what `onConnection` threw, or gave to `close()`,
   * which closes the connection; `ERR_GRPCFD_PEER_REFUSED`, `ERR_GRPCFD_TOO_MANY_CONNECTIONS`, `ERR_GRPCFD_CONNECTION_CLOSED` if the peer hung
   * up before `authorize()` had answered; EMFILE. The promise rejects with them.
   */
  async serveConnection(
    socket: ConnectedSocket,
    credentials: grpc.ServerCredentials,
    options: ServeConnectionOptions = {},
  ): Promise<FdConnection> {
    checkGrpcOptions(options, SERVE_RULES);
    const { peer } = options;
    if (peer !== undefined) checkPeer(peer);
    if (fdServerCredentialsIn(credentials) === undefined) {
      throw grpcComplaint('serveConnection() takes grpcfd.serverCredentials()', 'type');
    }
    this.#checkOpen();
    if (!supported) throw withoutDescriptors();
    const fd = await takeSocket(socket, 'the socket for serveConnection()');
    const serve = this.#serveWith(credentials, fd);
    return new Promise((resolve, reject) => serve(fd, peer, resolve, reject));
  }

  /**
   * As with a stock server: stops listening, and calls `callback` when all calls and connections have ended. `serveConnection()` fails
   * from then on.
   *
   * @param callback called once
   */
  override tryShutdown(callback: (error?: Error) => void): void {
    this.#isShutDown = true;
    super.tryShutdown(callback);
  }

  /** As with a stock server: stops listening, and ends all connections with their calls. `serveConnection()` fails from then on. */
  override forceShutdown(): void {
    this.#isShutDown = true;
    super.forceShutdown();
  }

  #checkOpen(): void {
    if (this.#isShutDown) {
      throw new GrpcFdError(
        'ERR_GRPCFD_CLOSED',
        'serveConnection() was called after the shutdown of the server',
      );
    }
  }

  /** Closes `fd` if it throws. A connection injector stays until the shutdown, so there is one for equal credentials. */
  #serveWith(credentials: grpc.ServerCredentials, fd: number): Serve {
    try {
      this.#checkOpen();
      const known = this.#served.find((each) => credentials._equals(each.credentials));
      if (known !== undefined) return known.serve;
      this.createConnectionInjector(credentials);
      const serve = latestServe.get(credentials);
      if (serve === undefined) throw new Error('the connection injector has no HTTP/2 server');
      this.#served.push({ credentials, serve });
      return serve;
    } catch (error) {
      native.close(fd);
      throw error;
    }
  }
}

/** Serves a connection over `fd`, and calls one of the two functions, perhaps later. If that is `refused`, `fd` is closed. */
type Serve = (
  fd: number,
  peer: PeerCredentials | undefined,
  served: (connection: Connection) => void,
  refused: (error: unknown) => void,
) => void;

/** By the credentials that it was created with. */
const latestServe = new WeakMap<grpc.ServerCredentials, Serve>();

/** Changes the servers of `prototype` so that they support `serverCredentials()`. */
export function honourServerCredentials(prototype: grpc.Server): void {
  replaceCreateHttp2Server(prototype, (credentials, create, owner) => {
    const fdCredentials = fdServerCredentialsIn(credentials);
    if (fdCredentials === undefined) return create();
    const server = fdCredentials.honouredBy(create);
    if (!supported) {
      // Node.js makes the socket file. It must not be open to more users than was asked for.
      refuseOptionsOfFile(fdCredentials.options, `on ${process.platform}`);
      return server;
    }
    const { methods } = fdCredentials.options;
    if (methods !== undefined) {
      noteRules(owner, methods);
      server.once('session', () => warnOfUnmatched(methods));
    }
    latestServe.set(credentials, carryDescriptors(server, fdCredentials.options, fdCredentials.admission));
    endLateSessions(server, fdCredentials.admission);
    return server;
  });
}

honourServerCredentials(Server.prototype);

/**
 * Ends the session of a connection whose TLS handshake was under way when the server stopped. Its other sessions have been told to end by
 * then, and grpc-js would wait for this one until the client leaves.
 */
function endLateSessions(server: AnyHttp2Server, admission: Admission): void {
  server.on('session', (session: ServerHttp2Session) => {
    const isLate = bridgedSocketOf(session) !== undefined && admission.refusalOf(server) !== undefined;
    if (isLate) nextTick(() => session.close());
  });
}

/**
 * Makes an HTTP/2 server of node:http2 carry descriptors, for gRPC without grpc-js: that of Connect, for example. Call it before `listen`.
 * Connections to unix sockets carry descriptors then, and `fromCall(request)` gives the transceiver of a call. `listen` takes
 * `{ path }`, with a path or an abstract name that starts with NUL. Other addresses are those of Node.js.
 *
 * @param server what `http2.createServer()` or `http2.createSecureServer()` gave
 * @param options of the connections and of the socket file, as for `serverCredentials()`. Default: none
 * @returns `server`
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`
 */
export function carryDescriptorsOn<HttpServer extends Http2Server | Http2SecureServer>(
  server: HttpServer,
  options: FdServerOptions = {},
): HttpServer {
  check(grpcComplaint, 'server', server, anHttp2Server);
  checkArguments('server', grpc.ServerCredentials.createInsecure(), options);
  if (supported) carryDescriptors(server, options, new Admission(options));
  else refuseOptionsOfFile(options, `on ${process.platform}`);
  return server;
}

const anHttp2Server = rule(
  'a server of node:http2',
  (value) => typeof value === 'object' && value !== null && 'updateSettings' in value,
);

function carryDescriptors(server: AnyHttp2Server, options: FdServerOptions, admission: Admission): Serve {
  const connections = new WeakMap<Socket, Connection>();
  const connect = (fd: number, origin: ConnectionOrigin): Connection => {
    const connection = new Connection(fd, 'server', options, origin);
    // A shutdown in onConnection has not met it, because the server does not know it yet.
    const stopped = admission.refusalOf(server);
    if (stopped !== undefined) connection.close(stopped.error);
    if (!connection.isOpen) throw new ClosedInOnConnection(connection.closedBy);
    connections.set(connection.socket, connection);
    return connection;
  };
  const allowHalfOpen = allowsHalfOpen(server);
  // A shutdown closes the servers of connection injectors, too.
  beforeClose(server, () => admission.stopped(server));

  const accepted: Candidate = {
    server,
    given: undefined,
    allowHalfOpen,
    open: (fd, origin) => {
      try {
        acceptOn(() => connect(fd, origin).socket);
      } catch (error) {
        // The error costs the connection, not the server.
        const isQuiet = error instanceof OnConnectionError || error instanceof ClosedInOnConnection;
        if (!isQuiet) process.emitWarning(error as Error);
      }
    },
    refused: () => {},
  };
  const acceptOn = listenOnUnixPathsWith(server, {
    listen: (place, onConnection) => {
      admission.started(server);
      const onError = (error: Error) => process.emitWarning(error);
      const listener = listenAt(place, options, { onConnection, onError });
      if (options.acceptFds === false && 'path' in place) refuseEarly(listener);
      return listener;
    },
    onConnection: (fd) => admission.admit(fd, accepted),
    prepareShared: (path) => {
      admission.started(server);
      SocketFile.removeDead(path);
    },
    // Another process would not give the file the owner and the mode that were asked for, and would remove it.
    backlog: options.backlog,
    sharesPaths: OPTIONS_OF_FILE.every((name) => options[name] === undefined),
  });

  server.prependListener('session', (session: ServerHttp2Session) => {
    const socket = bridgedSocketOf(session);
    const connection = socket === undefined ? undefined : connections.get(socket);
    if (connection === undefined) return;
    setConnectionOf(session, connection);
    connection.handshakeEnded(session.socket);
    connection.findSession = () => session;
    session.once('stream', (_stream, headers) => {
      if (isFromOtherLibrary(headers)) connection.learnOfOtherClient();
    });
    endInTwoSteps(session, connection);
    leaveAfterLoss(session, connection);
  });

  // It runs before grpc-js, so that calls that grpc-js rejects are registered, too.
  const { methods } = options;
  if (methods === undefined) server.prependListener('stream', registerStream);
  else refuseStreamsWith(server, (stream, headers) => registerGuarded(stream, headers, methods));

  return (fd, given, served, refused) => {
    const open = (admitted: number, origin: ConnectionOrigin): void => {
      try {
        const connection = connect(admitted, origin);
        acceptOn(() => connection.socket);
        served(connection);
      } catch (error) {
        refused(error instanceof ClosedInOnConnection ? (error.cause ?? error) : error);
      }
    };
    admission.admit(fd, { server, given, allowHalfOpen, open, refused: ({ error }) => refused(error) });
  };
}

/** A user has closed the connection in `onConnection`. */
class ClosedInOnConnection extends Error {
  constructor(cause: Error | undefined) {
    super('the connection was closed in onConnection', { cause });
  }
}

/** Accepted sockets inherit it, so that what a client sends before it is accepted is refused, too. */
function refuseEarly(listener: UnixListener | Promise<UnixListener>): void {
  if (listener instanceof Promise) listener.then(refuseEarly, () => {});
  else native.refuseRights(listener.fd);
}

/** What the primary process of node:cluster cannot be told. */
const OPTIONS_OF_FILE = ['mode', 'uid', 'gid', 'unlinkOnClose'] as const;

function refuseOptionsOfFile(options: FdServerOptions, where: string): void {
  const name = OPTIONS_OF_FILE.find((each) => options[each] !== undefined);
  if (name !== undefined) throw grpcComplaint(`${name} cannot be set ${where}`, 'range');
}

/** At once where it can, so that the order of events is that of stock. */
function listenAt(
  place: UnixPlace,
  options: FdServerOptions,
  events: UnixListenerEvents,
): UnixListener | Promise<UnixListener> {
  if ('path' in place && isAbstract(place.path))
    refuseOptionsOfFile(options, 'for an abstract name, which has no file');
  if ('path' in place) return listenAtPath({ ...options, path: place.path }, events);
  const { inherited } = place;
  if (!isInheritedNumber(inherited)) {
    throw grpcComplaint(
      `fd:${inherited} is not an address: it is fd:N, with the number of an inherited socket that listens`,
      'range',
    );
  }
  refuseOptionsOfFile(options, `for fd:${inherited}, which is bound already`);
  const fd = adoptListener(Number(inherited));
  try {
    const listener = UnixListener.listenNow({ backlog: options.backlog, fd }, events);
    return listener ?? assert.fail('a socket that listens does not wait');
  } catch (error) {
    native.close(fd);
    throw error;
  }
}

function listenAtPath(
  options: UnixListenOptions & { readonly path: string },
  events: UnixListenerEvents,
): UnixListener | Promise<UnixListener> {
  if (!isClusterWorker())
    return UnixListener.listenNow(options, events) ?? UnixListener.listen(options, events);
  try {
    const listener = UnixListener.listenNow(options, events);
    if (listener !== undefined) return listener;
    return UnixListener.listen(options, events).catch((error: unknown) => {
      throw inWorker(error, options);
    });
  } catch (error) {
    throw inWorker(error, options);
  }
}

/** Says why the workers of a cluster do not share an address. */
function inWorker(error: unknown, options: UnixListenOptions & { readonly path: string }): Error {
  const reason = isAbstract(options.path)
    ? 'an abstract name'
    : `the option ${OPTIONS_OF_FILE.find((name) => options[name] !== undefined)}`;
  const made = error as NodeJS.ErrnoException;
  if (made.code === 'EADDRINUSE') {
    made.message += ` (in a worker of node:cluster, a server with ${reason} listens by itself, so only one worker can have the address)`;
  }
  return made;
}
