/**
 * Makes a net.Socket of a connected descriptor without reading from it.
 *
 * `new net.Socket({ fd })` begins to read at once, before anybody wants the bytes, and so before the socket can be handed on. Node has an
 * option against that, `manualStart`, which it uses for terminals (`lib/tty.js`).
 */
import { Socket } from 'node:net';
import { native } from '../native/binding.js';
import { changed, hidden } from './hidden.js';

/**
 * Takes over `fd`, a guarded unix stream socket, also when it throws. The socket reads when its user does: at the first 'data' or 'readable'
 * listener, `resume()`, `pipe()` or `for await`.
 */
export function unreadSocket(fd: number): Socket {
  const socket = makeSocket(fd);
  native.unguard(fd);
  if (!hidden<{ reading?: boolean }>(socket, '_handle')?.reading) return socket;
  socket.destroy();
  throw changed('the option manualStart of net.Socket');
}

function makeSocket(fd: number): Socket {
  try {
    native.lend(fd);
    const options = { fd, manualStart: true };
    return new Socket(options);
  } catch (error) {
    native.close(fd);
    throw error;
  }
}
