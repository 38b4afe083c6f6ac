/**
 * Makes what Node has for a socket of what was received. The descriptor that is given to these functions stays the caller's: Node gets a
 * duplicate. When they throw, nothing of the open file has changed.
 */

import type * as dgram from 'node:dgram';
import * as net from 'node:net';
import process from 'node:process';
import { aBoolean, anInteger, checkGrpcOptions, type RulesFor, rule } from '../checks.js';
import { GrpcFdError } from '../errors.js';
import { setConnected } from '../internals/dgram-state.js';
import { hasHandle, listenOn } from '../internals/net-handle.js';
import { native } from '../native/binding.js';
import { IPPROTO_UDP } from '../native/socket-types.js';
import { FdSocket, type FdSocketOptions, STREAM_RULES } from '../socket/fd-socket.js';
import { SocketFile } from '../socket/socket-file.js';
import { removeFileOnClose } from './server-file.js';
import { type DescribedSocket, describeSocket, type LookedAt } from './socket-info.js';

/** Options of `ReceivedFile.toSocket()`. */
export interface ToSocketOptions {
  /**
   * Whether the writable side stays open when the peer has ended. Default false, as in `node:net`: it ends by itself. With true, end the
   * socket yourself.
   */
  readonly allowHalfOpen?: boolean | undefined;
}

/** Options of `ReceivedFile.toFdSocket()`. */
export type ToFdSocketOptions = Omit<FdSocketOptions, 'fd'>;

/** Options of `ReceivedFile.toServer()`. */
export interface ToServerOptions<Server extends net.Server = net.Server> {
  /**
   * The server that listens from now on: an `http.Server`, an `http2` or `tls` server, a `net.Server`. It does not listen yet. Default: a new
   * `net.Server`.
   */
  readonly server?: Server | undefined;
  /**
   * Connections that the kernel queues before they are accepted, at most `net.core.somaxconn` of the kernel. It holds for all processes that
   * have the socket. Default 511, as in `node:net`.
   */
  readonly backlog?: number | undefined;
  /**
   * Whether `close` of the server removes the socket file of a unix socket, if no other process has the socket by then. Default false: the
   * file stays. The path is that of the sender, so do not use it for a peer that you do not trust.
   */
  readonly unlinkOnClose?: boolean | undefined;
}

const TO_SOCKET_RULES: RulesFor<ToSocketOptions> = { allowHalfOpen: aBoolean };

const TO_SERVER_RULES: RulesFor<ToServerOptions> = {
  server: rule(
    'a net.Server that does not listen',
    (value) => value instanceof net.Server,
    (value) => !hasHandle(value as net.Server),
  ),
  // Node takes 0 for its default.
  backlog: anInteger(1, 2 ** 31 - 1),
  unlinkOnClose: aBoolean,
};

const DEFAULT_BACKLOG = 511;

const OF_NODE = ['unix', 'ipv4', 'ipv6'] as const;

/** @throws GrpcFdError `ERR_GRPCFD_UNEXPECTED_KIND`, `ERR_GRPCFD_PATH_ONLY`, `ERR_GRPCFD_INVALID_ARGUMENT`, `ERR_GRPCFD_RECEIVE_FAILED` */
export function toSocket(file: LookedAt, options: ToSocketOptions): net.Socket {
  checkGrpcOptions(options, TO_SOCKET_RULES);
  assertConnected(file, describeSocket(file), OF_NODE);
  const { allowHalfOpen = false } = options;
  return withDuplicate(file, (fd) => {
    // The sender chose the time, and the close would block the event loop for it.
    native.dontLinger(fd);
    return new net.Socket({ fd, allowHalfOpen, readable: true, writable: true });
  });
}

/** @throws the errors of {@link toSocket} */
export function toFdSocket(file: LookedAt, options: ToFdSocketOptions): FdSocket {
  checkGrpcOptions(options, STREAM_RULES);
  assertConnected(file, describeSocket(file), ['unix']);
  return withDuplicate(file, (fd) => new FdSocket({ ...options, fd }));
}

/** @throws the errors of {@link toSocket} */
export function toServer<Server extends net.Server>(
  file: LookedAt,
  options: ToServerOptions<Server>,
): Server {
  checkGrpcOptions(options, TO_SERVER_RULES);
  const { server = new net.Server() as Server, backlog = DEFAULT_BACKLOG, unlinkOnClose = false } = options;
  const socket = describeSocket(file);
  assertIs(
    file,
    socket,
    'a listening stream socket of unix or TCP',
    isStreamOf(socket, OF_NODE) && socket.listening,
  );
  const name = socket.family === 'unix' ? socket.localAddress?.address : undefined;
  const found =
    unlinkOnClose && name !== undefined && !name.startsWith('\0') ? SocketFile.of(file.fd, name) : undefined;
  withDuplicate(file, (fd) => {
    // Its connections inherit it.
    native.dontLinger(fd);
    listenOn(server, fd, backlog, name);
  });
  if (found !== undefined) removeFileOnClose(server, found);
  return server;
}

/** @throws the errors of {@link toSocket} */
export function toDatagramSocket(file: LookedAt): dgram.Socket {
  const socket = describeSocket(file);
  const isUdp =
    (socket.family === 'ipv4' || socket.family === 'ipv6') &&
    socket.type === 'datagram' &&
    socket.protocol === IPPROTO_UDP;
  assertIs(file, socket, 'a bound UDP socket', isUdp && socket.localAddress !== undefined);
  const made = process
    .getBuiltinModule('node:dgram')
    .createSocket(socket.family === 'ipv4' ? 'udp4' : 'udp6');
  // libuv sets it in the open file. Another user of this machine could bind to the same port then, and get its datagrams.
  const reusesAddress = native.reusesAddress(file.fd);
  try {
    // Without `exclusive`, a worker of node:cluster would get a descriptor of its primary process.
    withDuplicate(file, (fd) => made.bind({ fd, exclusive: true }));
    if (socket.connected) setConnected(made);
  } catch (error) {
    made.close();
    throw error;
  } finally {
    native.setReusesAddress(file.fd, reusesAddress);
  }
  return made;
}

function assertConnected(file: LookedAt, socket: DescribedSocket, families: readonly string[]): void {
  const wanted = `a connected stream socket of ${families.length === 1 ? 'the family unix' : 'unix or TCP'}`;
  assertIs(file, socket, wanted, isStreamOf(socket, families) && socket.connected && !socket.listening);
}

function isStreamOf({ family, type }: DescribedSocket, families: readonly string[]): boolean {
  return type === 'stream' && families.includes(family);
}

function assertIs({ url }: LookedAt, socket: DescribedSocket, wanted: string, isSo: boolean): void {
  if (isSo) return;
  const { family, type, listening, connected, localAddress } = socket;
  const name = localAddress === undefined ? 'not bound' : 'bound';
  const state = listening ? 'listening' : connected ? 'connected' : `not connected, ${name}`;
  throw new GrpcFdError(
    'ERR_GRPCFD_UNEXPECTED_KIND',
    `${url} is a socket of the family ${family} and the type ${type} (${state}), but ${wanted} was expected`,
  );
}

/** The duplicate belongs to what `make` makes of it. When that throws, it is closed. */
function withDuplicate<Made>({ fd, url }: LookedAt, make: (fd: number) => Made): Made {
  let duplicate: number | undefined;
  try {
    duplicate = native.duplicate(fd);
    native.lend(duplicate);
    const made = make(duplicate);
    native.unguard(duplicate);
    return made;
  } catch (cause) {
    if (duplicate !== undefined) native.close(duplicate);
    if (cause instanceof GrpcFdError) throw cause;
    const text = `${url} cannot be taken over: ${(cause as Error).message}`;
    throw new GrpcFdError('ERR_GRPCFD_RECEIVE_FAILED', text, { cause });
  }
}
