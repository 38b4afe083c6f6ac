import * as grpc from '@grpc/grpc-js';
import { quotePeerText } from '../error-text.js';
import { GrpcFdError } from '../errors.js';
import { type InboxLimits, resolveLimits } from '../inbox/limits.js';
import type { FdConnection } from './transceiver.js';

/** What can be set for the connections of `channelCredentials()` and `serverCredentials()`. */
export interface FdConnectionOptions extends Partial<InboxLimits> {
  /**
   * Called once for each connection that carries descriptors, before its first byte is read or written: what is sent in it
   * travels ahead of every call. If it throws, the connection is closed.
   */
  readonly onConnection?: ((connection: FdConnection) => void) | undefined;
}

/** What can also be set for the unix sockets that a server listens on. */
export interface FdServerOptions extends FdConnectionOptions {
  /** Permissions of the socket file, set before the first connection can be accepted. Default: 0o777 less the umask. */
  readonly mode?: number | undefined;
  /** Owner of the socket file. Default: the process's. */
  readonly uid?: number | undefined;
  /** Group of the socket file. Default: the process's. */
  readonly gid?: number | undefined;
  /** Connections that the kernel queues before they are accepted. Default 511, as in Node; the kernel's `net.core.somaxconn` caps it. */
  readonly backlog?: number | undefined;
}

const CONNECTION_OPTIONS = ['maxHeldFds', 'maxFdsPerCall', 'holdMs', 'maxPendingReceives', 'onConnection'];
const SERVER_OPTIONS = [...CONNECTION_OPTIONS, 'mode', 'uid', 'gid', 'backlog'];

/**
 * Checks what `channelCredentials` and `serverCredentials` were given: a misspelt option, or options in the place of the
 * credentials, would show much later, or never.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`
 */
export function checkArguments(role: 'channel' | 'server', inner: object, options: FdServerOptions): void {
  const [credentials, known] =
    role === 'channel'
      ? [grpc.ChannelCredentials, CONNECTION_OPTIONS]
      : [grpc.ServerCredentials, SERVER_OPTIONS];
  if (!(inner instanceof credentials)) {
    throw new GrpcFdError(
      'ERR_GRPCFD_INVALID_ARGUMENT',
      `${role}Credentials() takes the credentials to wrap, of the same @grpc/grpc-js, or undefined; options come second`,
    );
  }
  const unknown = Object.keys(options).find((key) => !known.includes(key));
  if (unknown !== undefined) {
    throw new GrpcFdError(
      'ERR_GRPCFD_INVALID_ARGUMENT',
      `${role}Credentials() has no option ${quotePeerText(unknown)}`,
    );
  }
  resolveLimits(options);
}

/** Whether two sets of options make equal connections, so that channels may share them. */
export function sameOptions(a: FdServerOptions, b: FdServerOptions): boolean {
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]) as Set<keyof FdServerOptions>;
  return [...keys].every((key) => a[key] === b[key]);
}
