/** Passes bytes and descriptors on between a client and a server, and counts the descriptors of each message. */
import { join } from 'node:path';
import { connect, type FdSocket, listen } from 'grpcfd/socket';
import { native } from '#src/native/binding.js';
import { defer } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';

export class Tap {
  /** The address for the client. */
  readonly target: string;
  /** The number of descriptors of each message that had some. */
  readonly fromClient: number[] = [];
  readonly fromServer: number[] = [];
  truncated = false;
  readonly #path = join(temporaryDirectory(), 'tap.sock');

  /** @param target the server's address, `unix:` and a path */
  static async open(target: string): Promise<Tap> {
    const tap = new Tap();
    const listener = await listen({ path: tap.#path }, async (client) => {
      const server = await connect(target.replace('unix:', ''));
      tap.#carry(client, server, tap.fromClient);
      tap.#carry(server, client, tap.fromServer);
    });
    defer(() => listener.close());
    return tap;
  }

  private constructor() {
    this.target = `unix:${this.#path}`;
  }

  #carry(from: FdSocket, to: FdSocket, counts: number[]): void {
    // The kernel ends a read at the end of a message with descriptors, so one event is one message.
    from.on('fds', (fds, truncated) => {
      this.truncated ||= truncated;
      if (fds.length > 0) counts.push(fds.length);
      for (const fd of fds) {
        void to.sendFd(fd);
        native.close(fd);
      }
    });
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
    from.pipe(to);
  }
}

export function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
