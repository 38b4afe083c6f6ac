import type * as net from 'node:net';
import { afterClose, descriptorOf } from '../internals/net-handle.js';
import { native } from '../native/binding.js';
import { SocketFile } from '../socket/socket-file.js';

/** Removes the file when `server` has been closed, unless another process has the socket then. */
export function removeFileOnClose(server: net.Server, file: SocketFile): void {
  afterClose(server, () => {
    try {
      file.unlinkUnlessServed();
    } catch (error) {
      process.emitWarning(error as Error);
    }
  });
}

/**
 * Node removes the file of a unix socket when it closes the server that made it, also where another process listens on the socket by then.
 * After this, the file stays if another process has the socket, and is removed otherwise.
 */
export function keepFileWhileServed(server: net.Server): void {
  const fd = descriptorOf(server);
  const path = fd === undefined ? undefined : native.keepSocketFile(fd);
  const file =
    path === undefined || fd === undefined ? undefined : SocketFile.of(fd, Buffer.from(path).toString());
  if (file !== undefined) removeFileOnClose(server, file);
}
