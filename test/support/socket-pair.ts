import { FdSocket, type FdSocketOptions, socketPair as makePair } from 'grpcfd/socket';
import { closeAll } from '#src/native/binding.js';
import { defer } from './fd-table.js';

/** Two connected sockets, which the end of the test destroys. */
export function socketPair(options: Omit<FdSocketOptions, 'fd'> = {}): [FdSocket, FdSocket] {
  const pair = makePair(options);
  for (const socket of pair) defer(() => socket.destroy());
  return pair;
}

export function socketOver(fd: number, options: Omit<FdSocketOptions, 'fd'> = {}): FdSocket {
  const socket = new FdSocket({ fd, ...options });
  defer(() => socket.destroy());
  return socket;
}

/** Collects the descriptors of the 'fds' events of a socket. */
export function descriptorsOf(socket: FdSocket): number[] {
  const all: number[] = [];
  socket.on('fds', (fds) => all.push(...fds));
  defer(() => closeAll(all));
  return all;
}
