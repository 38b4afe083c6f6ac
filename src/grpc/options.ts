import * as grpc from '@grpc/grpc-js';
import { aBoolean, aFunction, aLimit, aPlainObject, checkGrpcOptions, type RulesFor } from '../checks.js';
import { GrpcFdError } from '../errors.js';
import { aTimeout } from '../inbox/clock.js';
import { LIMIT_RULES } from '../inbox/limits.js';
import { SOCKET_FILE_RULES } from '../socket/unix-listener.js';
import type { FdConnection } from './fd-transceiver.js';
import { fromOtherCopy } from './internals/two-copies.js';
import { checkMethodRules, type MethodRule } from './method-rules.js';
import type { ConnectedSocket } from './open-socket.js';
import type { Peer } from './peer.js';

/** Options of each connection, for `channelCredentials()` and `serverCredentials()`: see {@link FdChannelOptions}, {@link FdServerOptions}. */
export interface FdConnectionOptions {
  /**
   * Received descriptors that one connection holds idle: no running call claims them. Above it, the least recently used one is
   * closed. New descriptors are spared, because they arrive before the calls that claim them: at a server those of the last 5 s, up to a
   * quarter of `RLIMIT_NOFILE` or eight times this number, whichever is more; at a client those of the last second, up to eight times this
   * number. Default 1024. `Infinity` switches the limit off.
   */
  readonly maxHeldFds?: number | undefined;
  /**
   * Descriptors that one call may have. At a server, those above it that come with a call are closed, and a receive of them fails. At a
   * client, a call whose `callCredentials()` have more attached in all fails with RESOURCE_EXHAUSTED, and none is sent. While a call runs,
   * `send*` throws above it, until the first response headers have come. Default 1024: the names of so many take 10 to 20 KB of metadata.
   * `Infinity` switches the limit off. One `callCredentials()` takes 1024 at the most before its call starts.
   */
  readonly maxFdsPerCall?: number | undefined;
  /**
   * How long a descriptor is held idle after it came or was last received, in milliseconds. It is closed then. At a client it is also
   * how long a receive waits while no call with its credentials runs. Default 150 000. `Infinity` switches the limit off.
   */
  readonly holdMs?: number | undefined;
  /**
   * Receives that wait on one connection at a time. One more is refused with `ERR_GRPCFD_TOO_MANY_RECEIVES`. Default 1024.
   * `Infinity` switches the limit off.
   */
  readonly maxPendingReceives?: number | undefined;
  /**
   * Decides whether the process at the other end may connect, before the first byte and the first descriptor is read, and before
   * `onConnection`. True admits it. Anything else closes the connection, and so does an error that it throws or rejects with. It is quiet:
   * no warning, but a counter (`stats().refusedConnections`), the event `grpcfd:connection:refused`, and a line of `NODE_DEBUG=grpcfd`. A
   * peer that is not known is refused without being asked about: an end of a socketpair, for one, unless `serveConnection()` was given its
   * peer. At a client it is about the process that listens at the target, and a refusal fails the connection with the text
   * (`ERR_GRPCFD_PEER_REFUSED`): the status of the calls is UNAVAILABLE, since grpc-js tries again. At a server, at most 256 connections
   * wait for its promise. Above that, the newest of the account that has the most is refused. Default: every peer may connect.
   */
  readonly authorize?: ((peer: Peer) => boolean | Promise<boolean>) | undefined;
  /**
   * How long a promise of `authorize` is waited for, in milliseconds. The connection is closed then, as it is when the peer hangs up or the
   * server is shut down. Above 0 and at most 2^31-1. Default 10 000.
   */
  readonly authorizeTimeoutMs?: number | undefined;
  /**
   * The account of a peer: a user id, a control group, or any other value. Connections whose values are the same (as in a `Map`) share what
   * an account may have, and of several accounts, the one that has the most loses when a limit of all connections is reached. It must give
   * it at once; what throws, or gives a promise, refuses the connection. Default: each connection is an account of its own, and so is one
   * whose peer is not known.
   */
  readonly account?: ((peer: Peer) => unknown) | undefined;
  /**
   * False: the connection accepts no descriptors. Since Linux 6.16 the kernel refuses them, and the sender gets EPERM (SO_PASSRIGHTS).
   * Before, those that come are closed at once, and counted (`refusedFds`). Receives fail with `ERR_GRPCFD_NOT_ACCEPTED`. Descriptors can
   * be sent all the same. Default true.
   */
  readonly acceptFds?: boolean | undefined;
  /**
   * Descriptors that all connections of these credentials hold together, idle or claimed by running calls. Above it, descriptors of the
   * account that holds the most are closed: its idle ones first, the least recently used ones before others, and then those that its running
   * calls have not received, whose receives fail with `ERR_GRPCFD_TOO_MANY_DESCRIPTORS`. Default: three eighths of `RLIMIT_NOFILE`, and
   * at least 256.
   * `Infinity` switches the limit off.
   */
  readonly maxHeldFdsTotal?: number | undefined;
  /**
   * Called once for each connection that carries descriptors, before its first byte is read or written. Descriptors that it sends
   * therefore arrive before those of any call. Under TLS they leave when the handshake has ended. The connection does not wait for a promise that it returns. If it throws, or its promise
   * rejects, the connection is closed, and the process gets a warning with the code `GRPCFD_ON_CONNECTION`. Default: none.
   */
  readonly onConnection?: ((connection: FdConnection) => unknown) | undefined;
}

/** Options of `channelCredentials()`: those of its connections, and where the connections of the target `fd:connect` come from. */
export interface FdChannelOptions extends FdConnectionOptions {
  /**
   * Called for each connection that a channel to the target `fd:connect` wants, also for a new one after the last has ended. It gives a
   * connected unix stream socket, or a promise of one: the number of its descriptor, a `net.Socket`, which may still be connecting, or an
   * `FdSocket`. Nothing has been read from it. It belongs to the channel from then on, unless it is refused. If this throws or rejects, the
   * connection fails with the text of the error, and grpc-js waits before it tries again, as with any target. Other targets are refused
   * with it. Default: none.
   */
  readonly connect?: (() => ConnectedSocket | Promise<ConnectedSocket>) | undefined;
}

/** Options of `serverCredentials()`: those of its connections, and those of the unix socket that the server listens on. */
export interface FdServerOptions extends FdConnectionOptions {
  /**
   * Rules for methods, by their paths: `{ '/pkg.Service/Method': { maxFds: 1, kinds: 'file' } }`. What a client of this package attached to a
   * call is checked before the handler runs. If it breaks the rule, the handler does not run, and the call fails with RESOURCE_EXHAUSTED
   * (`maxFds`) or FAILED_PRECONDITION (`kinds`) and a text that says why. What comes in another way (from a Go client, on a stream, on
   * the connection) is checked when the handler receives it, which then fails with `ERR_GRPCFD_TOO_MANY_DESCRIPTORS` or
   * `ERR_GRPCFD_UNEXPECTED_KIND`. Default: no rules. A method without a rule may get what `maxFdsPerCall` allows.
   *
   * A path that the server does not have is told in a process warning with the code `GRPCFD_UNKNOWN_METHOD`, once, when the first client
   * connects. If several servers share these options, one of them has to have it. The server of `carryDescriptorsOn()` has no list of its
   * methods, and does not warn.
   */
  readonly methods?: Readonly<Record<string, MethodRule>> | undefined;
  /**
   * Connections that are open at a time, over all addresses of these credentials. One more is closed at once. If `account` is given, and an
   * account has at least two more than that of the new one, the newest of the account that has the most is closed in its place. Default:
   * three thirty-seconds of `RLIMIT_NOFILE`, and at least 16: with four descriptors each, they take three eighths of the table. `Infinity`
   * switches the limit off.
   */
  readonly maxConnections?: number | undefined;
  /**
   * Connections of one account that are open at a time: see `account`. One more is closed at once. For a limit for each user, give
   * `account: (peer) => peer.uid`. Default: half of `maxConnections`, so that no account has all of them. `Infinity` switches the limit off.
   */
  readonly maxConnectionsPerAccount?: number | undefined;
  /**
   * Permissions of the socket file, from 0 to 0o7777. A client needs the right to write to connect. They are set before the first
   * connection can be accepted. Default: 0o777 without the bits of the umask.
   */
  readonly mode?: number | undefined;
  /** User id of the socket file's owner. Default: that of the process. */
  readonly uid?: number | undefined;
  /** Group id of the socket file. Default: that of the process. */
  readonly gid?: number | undefined;
  /**
   * Connections that the kernel queues before they are accepted, at most `net.core.somaxconn` of the kernel. Default 511, as in Node.
   */
  readonly backlog?: number | undefined;
  /**
   * Whether the server removes its socket file when it stops listening, if it is still the same file. Set it to false to hand the
   * listening socket over to another process. Default true.
   */
  readonly unlinkOnClose?: boolean | undefined;
}

const CONNECTION_RULES: RulesFor<FdConnectionOptions> = {
  ...LIMIT_RULES,
  onConnection: aFunction,
  authorize: aFunction,
  authorizeTimeoutMs: aTimeout,
  account: aFunction,
  acceptFds: aBoolean,
  maxHeldFdsTotal: aLimit,
};
/** Of what can be decided while node:http2 connects: it does not wait. */
export const HTTP2_CONNECTION_RULES = {
  ...LIMIT_RULES,
  onConnection: aFunction,
  acceptFds: aBoolean,
  maxHeldFdsTotal: aLimit,
};
const CHANNEL_RULES: RulesFor<FdChannelOptions> = { ...CONNECTION_RULES, connect: aFunction };
const SERVER_RULES: RulesFor<FdServerOptions> = {
  ...CONNECTION_RULES,
  ...SOCKET_FILE_RULES,
  methods: aPlainObject,
  maxConnections: aLimit,
  maxConnectionsPerAccount: aLimit,
};

/**
 * Checks the arguments of `channelCredentials` and `serverCredentials`. They may also have been given options in the place of the
 * credentials.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`, `ERR_GRPCFD_TWO_COPIES`
 */
export function checkArguments(
  role: 'channel' | 'server',
  inner: object,
  options: FdServerOptions | FdChannelOptions,
): void {
  const error = fromOtherCopy(inner, role === 'channel' ? 'ChannelCredentials' : 'ServerCredentials');
  if (error !== undefined) throw error;
  const credentials = role === 'channel' ? grpc.ChannelCredentials : grpc.ServerCredentials;
  if (!(inner instanceof credentials)) {
    throw new GrpcFdError(
      'ERR_GRPCFD_INVALID_ARGUMENT',
      `${role}Credentials() takes the credentials to wrap, of the same @grpc/grpc-js, or undefined; options come second`,
    );
  }
  if (role === 'channel') checkGrpcOptions<FdChannelOptions>(options, CHANNEL_RULES);
  else {
    checkGrpcOptions<FdServerOptions>(options, SERVER_RULES);
    checkMethodRules((options as FdServerOptions).methods);
  }
}

/** Whether two sets of options make equal connections, which channels may share then. */
export function sameOptions<Options extends FdConnectionOptions>(a: Options, b: Options): boolean {
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]) as Set<keyof Options>;
  return [...keys].every((key) => a[key] === b[key]);
}
