/** Passes bytes and descriptors on between two sockets, both ways. */
import { closeFds, type FdSocket } from '../../socket/index.js';
import { oneLine } from '../failure.js';
import type { Direction } from './events.js';
import type { Watcher } from './watcher.js';

/** How long a socket may take to send what was written, after its other end has failed. */
const FLUSH_MS = 10_000;

/** Both sockets belong to it, and are closed when both ends have ended, or one has failed. */
export function relay(client: FdSocket, server: FdSocket, watcher: Watcher): void {
  carry(client, server, 'to server', watcher);
  carry(server, client, 'to client', watcher);
  let open = 2;
  const onClose = () => {
    if (--open === 0) watcher.close();
  };
  client.once('close', onClose);
  server.once('close', onClose);
}

/**
 * The event 'fds' comes before the bytes with which the descriptors came. So they are queued before these bytes are written, and travel with
 * them or with bytes before them.
 */
function carry(from: FdSocket, to: FdSocket, direction: Direction, watcher: Watcher): void {
  from.on('fds', (fds, truncated) => {
    const passed = passOn(fds, to, direction, watcher);
    if (passed && !truncated) return;
    if (truncated) {
      const text =
        'the kernel dropped descriptors here (MSG_CTRUNC): the table of open files of this proxy is full';
      watcher.trouble(`${text}. The connection is closed`, { direction });
    }
    // The numbers of all that follows would be wrong.
    from.destroy();
    to.destroy();
  });
  from.on('data', (chunk: Buffer) => {
    if (!to.write(chunk)) from.pause();
    watcher.bytes(direction, chunk);
  });
  to.on('drain', () => from.resume());
  from.once('end', () => to.end());
  from.once('error', (error) => watcher.failed(sender(direction), error));
  from.once('close', () => endAfter(to));
}

/** Sends what was written, and closes. */
function endAfter(to: FdSocket): void {
  if (to.destroyed) return;
  // What comes from it has nowhere to go.
  to.removeAllListeners('data').resume();
  const timer = setTimeout(() => to.destroy(), FLUSH_MS);
  to.once('close', () => clearTimeout(timer));
  if (to.writableFinished) to.destroy();
  else to.once('finish', () => to.destroy()).end();
}

/** The descriptors are closed here. False where one cannot be passed on and the connection has to end. */
function passOn(fds: readonly number[], to: FdSocket, direction: Direction, watcher: Watcher): boolean {
  for (const [index, fd] of fds.entries()) {
    let sent: Promise<void>;
    try {
      sent = to.sendFd(fd);
    } catch (error) {
      closeFds(fds.slice(index));
      watcher.trouble(`a descriptor cannot be passed on: ${oneLine(error)}. The connection is closed`, {
        direction,
      });
      return false;
    }
    const number = watcher.descriptor(direction, fd);
    sent.catch((error) => {
      const dropped = (error as NodeJS.ErrnoException).code === 'ECANCELED';
      const text = dropped ? `dropped: the ${receiver(direction)} has gone` : `refused: ${oneLine(error)}`;
      watcher.trouble(text, { direction, number });
    });
  }
  return true;
}

function sender(direction: Direction): 'client' | 'server' {
  return direction === 'to server' ? 'client' : 'server';
}

function receiver(direction: Direction): string {
  return direction === 'to server' ? 'server' : 'client';
}
