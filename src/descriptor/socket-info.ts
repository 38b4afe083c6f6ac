import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';
import type { FileKind } from '../native/file-types.js';
import type { PeerCredentials } from '../native/peer-types.js';
import {
  ADDRESS_FAMILY,
  type RawEndpoint,
  SOCKET_TYPE,
  type SocketDescription,
} from '../native/socket-types.js';
import { peerOf } from '../socket/peer.js';

/** The address family of a socket. `unknown` is any other. */
export type SocketFamily = 'unix' | 'ipv4' | 'ipv6' | 'vsock' | 'netlink' | 'packet' | 'unknown';

/** The type of a socket. `unknown` is any other. */
export type SocketType = 'stream' | 'datagram' | 'seqpacket' | 'raw' | 'unknown';

/** One end of a connection, or where a socket listens. */
export interface SocketEndpoint {
  /**
   * The text of an IP address, with the number of its network interface behind a `%` where it has one; the path or the abstract name, which
   * starts with NUL, of a unix socket; the context id of a vsock.
   */
  readonly address: string;
  /** The port of an IP socket or a vsock. Undefined for a unix socket. */
  readonly port: number | undefined;
}

/** What a socket is, as `ReceivedFile.socketInfo()` tells. */
export interface SocketInfo {
  /** See {@link SocketFamily}. */
  readonly family: SocketFamily;
  /** See {@link SocketType}. */
  readonly type: SocketType;
  /** Whether it accepts connections. */
  readonly listening: boolean;
  /** Whether it has another end. */
  readonly connected: boolean;
  /** Where it is bound. Undefined where it has no name, as the ends of a socketpair, or is of a family that is not known here. */
  readonly localAddress: SocketEndpoint | undefined;
  /** What it is connected with. Undefined where it is not connected, or the other end has no name, as most clients of unix sockets. */
  readonly remoteAddress: SocketEndpoint | undefined;
  /**
   * The process at the other end of a unix socket that was accepted, at the time at which the two were connected (SO_PEERCRED). Undefined for
   * other families, and where it is not certain: a socket without a name of its own could be the end of a socketpair, whose credentials are
   * those of the process that made it.
   */
  readonly peer: PeerCredentials | undefined;
}

const FAMILIES: Readonly<Record<number, SocketFamily>> = {
  [ADDRESS_FAMILY.UNIX]: 'unix',
  [ADDRESS_FAMILY.INET]: 'ipv4',
  [ADDRESS_FAMILY.INET6]: 'ipv6',
  [ADDRESS_FAMILY.VSOCK]: 'vsock',
  [ADDRESS_FAMILY.NETLINK]: 'netlink',
  [ADDRESS_FAMILY.PACKET]: 'packet',
};

const TYPES: Readonly<Record<number, SocketType>> = {
  [SOCKET_TYPE.STREAM]: 'stream',
  [SOCKET_TYPE.DATAGRAM]: 'datagram',
  [SOCKET_TYPE.RAW]: 'raw',
  [SOCKET_TYPE.SEQPACKET]: 'seqpacket',
};

/** What the look at a received file has told of it. */
export interface LookedAt {
  readonly fd: number;
  readonly url: string;
  readonly kind: FileKind;
  readonly pathOnly: boolean;
}

/** A socket, with all that is known of it. */
export interface DescribedSocket extends SocketInfo {
  readonly protocol: number;
}

/**
 * Looks at a socket, and changes nothing.
 *
 * @throws GrpcFdError `ERR_GRPCFD_UNEXPECTED_KIND`, `ERR_GRPCFD_PATH_ONLY`; the error of a failed syscall
 */
export function describeSocket({ fd, url, kind, pathOnly }: LookedAt): DescribedSocket {
  if (kind !== 'socket') {
    throw new GrpcFdError(
      'ERR_GRPCFD_UNEXPECTED_KIND',
      `${url} is of the kind ${kind}, but a socket was expected`,
    );
  }
  if (pathOnly) {
    throw new GrpcFdError(
      'ERR_GRPCFD_PATH_ONLY',
      `${url} is a socket file that was opened with O_PATH. It can be connected to, but it is no socket itself`,
    );
  }
  const description = native.describeSocket(fd);
  const family = FAMILIES[description.family] ?? 'unknown';
  const type = TYPES[description.type] ?? 'unknown';
  const { listening, connected, protocol } = description;
  const hasPeer = family === 'unix' && connected && type !== 'datagram';
  return {
    family,
    type,
    protocol,
    listening,
    connected,
    localAddress: endpoint(description.local, description),
    remoteAddress: endpoint(description.remote, description),
    peer: hasPeer ? peerOf(fd) : undefined,
  };
}

export function socketInfoOf(file: LookedAt): SocketInfo {
  const { protocol: _, ...info } = describeSocket(file);
  return info;
}

function endpoint(
  raw: RawEndpoint | undefined,
  { family, type }: SocketDescription,
): SocketEndpoint | undefined {
  if (raw === undefined) return undefined;
  const { address, port } = raw;
  if (family === ADDRESS_FAMILY.UNIX) return { address, port: undefined };
  const isIp = family === ADDRESS_FAMILY.INET || family === ADDRESS_FAMILY.INET6;
  const hasPorts = type === SOCKET_TYPE.STREAM || type === SOCKET_TYPE.DATAGRAM;
  // The kernel names a socket that is not bound so, too.
  return isIp && hasPorts && port === 0 ? undefined : { address, port };
}
