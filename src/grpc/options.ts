import * as grpc from '@grpc/grpc-js';
import { aFunction, checkGrpcOptions, type RulesFor } from '../checks.js';
import { GrpcFdError } from '../errors.js';
import { LIMIT_RULES } from '../inbox/limits.js';
import { SOCKET_FILE_RULES } from '../socket/unix-listener.js';
import { fromOtherCopy } from './internals/two-copies.js';
import type { ConnectedSocket } from './open-socket.js';
import type { FdConnection } from './transceiver.js';

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

const CONNECTION_RULES: RulesFor<FdConnectionOptions> = { ...LIMIT_RULES, onConnection: aFunction };
const CHANNEL_RULES: RulesFor<FdChannelOptions> = { ...CONNECTION_RULES, connect: aFunction };
const SERVER_RULES: RulesFor<FdServerOptions> = { ...CONNECTION_RULES, ...SOCKET_FILE_RULES };

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
  else checkGrpcOptions<FdServerOptions>(options, SERVER_RULES);
}

/** Whether two sets of options make equal connections, which channels may share then. */
export function sameOptions<Options extends FdConnectionOptions>(a: Options, b: Options): boolean {
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]) as Set<keyof Options>;
  return [...keys].every((key) => a[key] === b[key]);
}
