/** Takes over sockets that were open before: those that this process inherited, and those that a user hands over. */

import { Socket } from 'node:net';
import { aFileDescriptor, check, grpcComplaint } from '../checks.js';
import { quotePeerText } from '../error-text.js';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';
import { FdSocket } from '../socket/fd-socket.js';
import { descriptorOf, isUnixSocket, takeConnection, waitForConnect } from './internals/connected-socket.js';
import { ipcChannel } from './internals/fd-target.js';

/**
 * A connected unix stream socket: the number of its descriptor, a `net.Socket` or an {@link FdSocket}. Nothing has been read from it, and
 * nothing waits to be written. A `net.Socket` may still be connecting.
 */
export type ConnectedSocket = number | Socket | FdSocket;

/** Node closes these in its own way, and aborts if they are others' by then. */
const FIRST_FREE_NUMBER = 3;

/**
 * Takes over a socket of a user's. Returns its descriptor, which belongs to the caller. When this throws, the socket is still the user's.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`; the error of a `net.Socket` that does not connect; EMFILE
 */
export async function takeSocket(given: unknown, name: string): Promise<number> {
  if (typeof given === 'number') {
    check(grpcComplaint, name, given, aFileDescriptor);
    checkNumber(given, name, checkConnected);
    return renumber(given);
  }
  if (given instanceof FdSocket) return takeFdSocket(given, name);
  if (given instanceof Socket) return takeNetSocket(given, name);
  throw wrong(
    `${name} must be the number of a descriptor, a net.Socket or an FdSocket, not ${quotePeerText(given)}`,
  );
}

/**
 * Adopts the connected socket that this process inherited as `fd`. The number is adopted once in the process. When this throws, it was not.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`, `ERR_GRPCFD_CLOSED` if it was adopted before; EMFILE
 */
export function adoptConnection(fd: number): number {
  claim(fd, checkConnected, false);
  return renumber(fd);
}

/**
 * The same for a listening socket, but it keeps its number. So while it listens, no other socket that is handed over can have its number, and
 * `fd:N` names one socket.
 */
export function adoptListener(fd: number): number {
  claim(fd, checkListening, true);
  native.setCloseOnExec(fd);
  return fd;
}

type CheckState = (fd: number, name: string) => void;

function claim(fd: number, checkState: CheckState, asListener: boolean): void {
  check(grpcComplaint, 'the number behind fd:', fd, aFileDescriptor);
  if (native.isUsedUp(fd, asListener)) throw usedUp(fd, asListener);
  checkNumber(fd, `fd:${fd}`, checkState);
  if (!native.claimInherited(fd, asListener)) throw usedUp(fd, asListener);
}

function checkNumber(fd: number, name: string, checkState: CheckState): void {
  if (fd < FIRST_FREE_NUMBER) throw wrong(`${name} is a standard stream, which belongs to Node.js`);
  if (fd === ipcChannel()) {
    throw wrong(
      `${name} is the channel to the process that forked this one (process.channel), which belongs to Node.js`,
    );
  }
  checkState(fd, name);
  if (native.isInUse(fd)) {
    throw wrong(
      `${name} is the number of a socket that an object of this process uses: give the object, or what its release() returns`,
    );
  }
}

/** The descriptor gets another number, which is close-on-exec from its birth. */
function renumber(fd: number): number {
  const taken = native.duplicate(fd);
  native.close(fd);
  return taken;
}

function checkConnected(fd: number, name: string): void {
  if (isListening(fd, name)) throw wrong(`${name} is a listening socket, not a connected one`);
  try {
    native.socketName(fd, true);
  } catch (cause) {
    throw wrong(`${name} is a unix stream socket that is not connected`, cause);
  }
}

function checkListening(fd: number, name: string): void {
  if (!isListening(fd, name)) throw wrong(`${name} is a unix stream socket that does not listen`);
}

function isListening(fd: number, name: string): boolean {
  try {
    return native.isListening(fd);
  } catch (cause) {
    throw wrong(`${name} is not a unix stream socket: ${(cause as Error).message}`, cause);
  }
}

async function takeNetSocket(socket: Socket, name: string): Promise<number> {
  if (socket.connecting) await waitForConnect(socket);
  if (socket.destroyed || !isUnixSocket(socket)) {
    throw wrong(`${name} is a net.Socket that is not an open unix socket`);
  }
  // Node has the same class for the handle of a FIFO.
  checkConnected(descriptorOf(socket), name);
  if (socket.bytesRead > 0) throw wasRead(name);
  if (socket.bytesWritten > 0 || socket.writableEnded) throw wasWritten(name);
  return takeConnection(socket);
}

async function takeFdSocket(socket: FdSocket, name: string): Promise<number> {
  if (socket.destroyed) throw wrong(`${name} is an FdSocket that is not open`);
  const { bytesRead, receivedFds, bytesWritten, sentFds } = socket.stats();
  if (bytesRead > 0 || receivedFds > 0) throw wasRead(name);
  if (bytesWritten > 0 || sentFds > 0 || socket.writableEnded) throw wasWritten(name);
  if (!('release' in socket) || typeof socket.release !== 'function') {
    throw wrong(`${name} is an FdSocket that cannot be released`);
  }
  try {
    return socket.release();
  } catch (cause) {
    throw wrong(`${name} is an FdSocket that cannot be taken over now: ${(cause as Error).message}`, cause);
  }
}

function wasWritten(name: string): GrpcFdError {
  return wrong(
    `something was written to ${name} already, or it was ended: HTTP/2 has to begin with the first byte`,
  );
}

function wasRead(name: string): GrpcFdError {
  return wrong(
    `something was read from ${name} already, and descriptors may have been lost with it: give it in the turn in which it has connected`,
  );
}

function usedUp(fd: number, asListener: boolean): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_CLOSED',
    `fd:${fd} is used up: the socket that this process inherited as ${fd} was adopted before, and the kernel may have given its number ` +
      `to another one since. ${asListener ? WAY_OF_LISTENERS : WAY_OF_CONNECTIONS}`,
  );
}

const WAY_OF_LISTENERS = 'Give its listening socket to one server, and keep that server';
const WAY_OF_CONNECTIONS =
  'Share one channel, or one client with the same credentials and options. For connections that can be made again, use the target fd:connect and channelCredentials(inner, { connect })';

function wrong(text: string, cause?: unknown): GrpcFdError {
  if (cause instanceof GrpcFdError) return cause;
  return new GrpcFdError('ERR_GRPCFD_INVALID_ARGUMENT', text, { cause });
}
