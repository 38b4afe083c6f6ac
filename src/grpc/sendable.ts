/** What can be sent: everything that has a descriptor of its own. */

import type * as dgram from 'node:dgram';
import * as net from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { keepFileWhileServed } from '../descriptor/server-file.js';
import { quotePeerText } from '../error-text.js';
import { GrpcFdError } from '../errors.js';
import { descriptorOfDatagramSocket, isDatagramSocket } from '../internals/dgram-state.js';
import {
  descriptorOf,
  hasHandle,
  isKeptByAgent,
  isParsed,
  isPiped,
  isSharedWithPrimary,
  isUnderTls,
  stopReading,
} from '../internals/net-handle.js';
import { FdListener } from '../socket/fd-listener.js';
import { FdSocket } from '../socket/fd-socket.js';

/** An object with the number of an open descriptor: a `FileHandle`, a {@link ReceivedFile}, a `SharedMemory`. */
export interface HasFd {
  /** The number of the descriptor. */
  readonly fd: number;
}

/**
 * An object with a descriptor of its own: what {@link HasFd} is; a `net.Socket`, an `FdSocket`, `child.stdout` and other streams over a
 * socket, a pipe or a terminal; a server that listens (`net`, `http`, `https`, `http2`, `tls`, `FdListener`); a bound `dgram.Socket`. It stays
 * the caller's: see {@link FdTransceiver.sendFile}.
 */
export type SendableObject = HasFd | Readable | Writable | net.Server | dgram.Socket;

/** Can be sent: the number of a descriptor, or an object with one. It stays the caller's. */
export type Sendable = number | SendableObject;

/** A descriptor that is about to be sent. */
export interface Lent {
  readonly fd: number;
  /** To be called when it has been sent. */
  readonly onSent?: (() => void) | undefined;
}

/**
 * The descriptor of an object, which stays the object's. Nothing is changed.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` where it has none, or something would be lost
 */
export function lend(thing: unknown): Lent {
  if (thing instanceof net.Socket) return lendSocket(thing);
  if (thing instanceof FdSocket) return lendFdSocket(thing);
  if (thing instanceof net.Server) return lendServer(thing);
  if (isDatagramSocket(thing)) return lendDatagramSocket(thing);
  if (thing instanceof FdListener) return { fd: thing.fd, onSent: () => thing.share() };
  const fd = (thing as Partial<HasFd> | null | undefined)?.fd;
  if (typeof fd === 'number') return { fd };
  if (typeof thing === 'object' && thing !== null && fd === undefined) {
    throw refused(
      thing,
      'it has no descriptor of its own. Send what has one: the net.Socket, server or file below it',
    );
  }
  if (typeof thing === 'number') {
    throw new GrpcFdError(
      'ERR_GRPCFD_INVALID_ARGUMENT',
      `sendFile() takes an object with a descriptor. ${thing} is a number, which sendFd() sends`,
    );
  }
  const more = fd === null ? ": wait for the event 'open' of the stream" : '';
  throw new GrpcFdError(
    'ERR_GRPCFD_INVALID_ARGUMENT',
    `a file descriptor is a non-negative integer, not ${quotePeerText(fd === undefined ? thing : fd)}${more}`,
  );
}

function lendSocket(socket: net.Socket): Lent {
  if (socket instanceof TLSSocket) {
    throw refused(
      socket,
      'its keys are in this process. Send the net.Socket before TLS begins on it, or a TCP server of which the receiver makes a tls.Server',
    );
  }
  if (socket.destroyed) throw refused(socket, 'it is destroyed, and its descriptor is closed');
  if (socket.connecting) throw refused(socket, "it has not connected yet: wait for its event 'connect'");
  const fd = descriptorOf(socket);
  if (fd === undefined) throw refused(socket, 'it is not connected');
  if (isParsed(socket)) {
    throw refused(
      socket,
      "an HTTP parser of this process reads it. Send it after 'upgrade' or 'connect', or send the server instead",
    );
  }
  if (isPiped(socket))
    throw refused(socket, 'it is piped into another stream, which would go on reading it: unpipe() it first');
  if (isKeptByAgent(socket)) throw refused(socket, 'an http.Agent keeps it for its next request');
  const { readableLength, writableLength } = socket;
  if (readableLength > 0) {
    throw refused(
      socket,
      `${readableLength} bytes of it were read in this process already, and would be lost. Take them with pause() and read(), send the ` +
        'socket in the same turn of the event loop, and hand them over yourself',
    );
  }
  if (socket.readableEncoding !== null && socket.bytesRead > 0) {
    throw refused(socket, 'setEncoding() was called, which may hold a part of a character');
  }
  if (isUnderTls(socket)) {
    throw refused(
      socket,
      'TLS runs on it, and its keys are in this process. Send the socket before TLS begins on it',
    );
  }
  if (writableLength > 0) {
    throw refused(
      socket,
      `${writableLength} bytes wait to be written to it: wait for the callback of write(), or for its event 'drain'`,
    );
  }
  if (socket.writableEnded && !socket.writableFinished) {
    throw refused(socket, "it is being ended: wait for its event 'finish'");
  }
  return { fd, onSent: socket.readable ? () => stopReading(socket) : undefined };
}

function lendFdSocket(socket: FdSocket): Lent {
  const reason = socket.whyNotSendable;
  if (reason !== undefined) throw refused(socket, reason);
  return { fd: socket.descriptor, onSent: () => socket.stopReading() };
}

function lendServer(server: net.Server): Lent {
  if (!hasHandle(server)) {
    throw refused(
      server,
      "it does not listen: it was closed, or has to be waited for until its event 'listening'",
    );
  }
  const fd = descriptorOf(server);
  const isFileOfPrimary = typeof server.address() === 'string' && isSharedWithPrimary(server);
  if (fd === undefined || isFileOfPrimary) {
    throw refused(
      server,
      'the primary process of node:cluster listens for this worker. Send its socket from there, or listen with { exclusive: true }',
    );
  }
  return { fd, onSent: () => keepFileWhileServed(server) };
}

function lendDatagramSocket(socket: dgram.Socket): Lent {
  const fd = descriptorOfDatagramSocket(socket);
  if (fd === undefined)
    throw refused(socket, "it is closed, or not bound yet: wait for its event 'listening'");
  return { fd };
}

function refused(thing: object, reason: string): GrpcFdError {
  const name = thing.constructor?.name ?? 'object';
  return new GrpcFdError('ERR_GRPCFD_INVALID_ARGUMENT', `this ${name} cannot be sent: ${reason}`);
}
