import type { ExchangeLimits } from '../exchange/limits.js';
import type { FdConnection } from './transceiver.js';

/** What can be set for the connections of `channelCredentials()` and `serverCredentials()`. */
export interface FdConnectionOptions extends Partial<ExchangeLimits> {
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

/** Whether two sets of options make equal connections, so that channels may share them. */
export function sameOptions(a: FdServerOptions, b: FdServerOptions): boolean {
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]) as Set<keyof FdServerOptions>;
  return [...keys].every((key) => a[key] === b[key]);
}
