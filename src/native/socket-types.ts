/** The functions of the addon that are for sockets of any family. */

/** An address of a socket. */
export interface RawEndpoint {
  /** The text of an IP address, a path or an abstract name, or the context id of a vsock. */
  readonly address: string;
  /** 0 where the family has no ports, or the socket has none yet. */
  readonly port: number;
}

/** What the kernel tells about a socket. */
export interface SocketDescription {
  /** AF_*, as a number: see {@link ADDRESS_FAMILY}. */
  readonly family: number;
  /** SOCK_*, as a number: see {@link SOCKET_TYPE}. */
  readonly type: number;
  /** IPPROTO_*, as a number. */
  readonly protocol: number;
  /** SO_ACCEPTCONN. */
  readonly listening: boolean;
  /** Whether `getpeername` succeeds. */
  readonly connected: boolean;
  /** Undefined where it has no name. */
  readonly local: RawEndpoint | undefined;
  readonly remote: RawEndpoint | undefined;
}

/** The same on every architecture that is supported. */
export const ADDRESS_FAMILY = { UNIX: 1, INET: 2, INET6: 10, NETLINK: 16, PACKET: 17, VSOCK: 40 } as const;
export const SOCKET_TYPE = { STREAM: 1, DATAGRAM: 2, RAW: 3, SEQPACKET: 5 } as const;
export const IPPROTO_UDP = 17;

export interface SocketFunctions {
  /** What a socket of any family is. ENOTSOCK, or EBADF of what was opened with O_PATH. `fd` is only borrowed. */
  describeSocket(fd: number): SocketDescription;
  /** Whether a socket is bound to the socket file at that path, in any process, or it cannot be told. Nobody is connected to. */
  isSocketFileServed(path: Uint8Array): boolean;
  /** SO_REUSEADDR of a socket, which all who have it share. */
  reusesAddress(fd: number): boolean;
  setReusesAddress(fd: number, wanted: boolean): void;
  /** Clears SO_LINGER where it has a time, for which the last close of the socket would wait, O_NONBLOCK or not. */
  dontLinger(fd: number): void;
  /**
   * Makes the stream of Node whose descriptor is `fd` keep its socket file when it is closed. Returns the path of the file as it was bound;
   * undefined if Node would not have removed one.
   */
  keepSocketFile(fd: number): Uint8Array | undefined;
}
