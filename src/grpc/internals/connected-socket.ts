/**
 * Takes a connection over from a net.Socket.
 *
 * grpc-js connects a net.Socket itself, and gives it to the connector of the credentials. Node would read its bytes with a plain read,
 * which loses the descriptors that come with them. So the connection is taken over in the same turn, before anything is read.
 */

import type * as net from 'node:net';
import { changed, hidden } from '../../internals/hidden.js';
import { native } from '../../native/binding.js';
import { UnixHandle } from './unix-abstract.js';

/** Resolves in the turn of 'connect', before anything is read: Node begins to read behind its listeners. */
export function waitForConnect(socket: net.Socket): Promise<unknown> {
  return new Promise((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the socket was closed before it had connected')));
  });
}

/** Whether a connected socket is a unix domain socket. Its handle is a Pipe; TCP sockets have a TCP (`lib/net.js`). */
export function isUnixSocket(socket: net.Socket): boolean {
  const handle = hidden<object>(socket, '_handle');
  return (
    handle !== undefined &&
    handle !== null &&
    (handle instanceof UnixHandle || handle.constructor.name === 'Pipe')
  );
}

/** The descriptor of an open net.Socket, which stays the socket's. */
export function descriptorOf(socket: net.Socket): number {
  const handle = hidden<{ fd?: number }>(socket, '_handle');
  const fd = handle?.fd;
  if (typeof fd !== 'number' || fd < 0) throw changed('the fd of a net.Socket handle');
  return fd;
}

/**
 * Takes the connection of a connected unix socket from which nothing has been read, and destroys the socket.
 * Returns a descriptor that the caller owns.
 */
export function takeConnection(socket: net.Socket): number {
  const fd = descriptorOf(socket);
  try {
    return native.duplicate(fd);
  } finally {
    socket.destroy();
  }
}
