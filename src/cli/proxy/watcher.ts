/**
 * Prints what passes on one connection. It never harms the relay: none of its methods throws, and where decoding fails, or would take too much, the
 * connection goes on without.
 */
import { readlinkSync } from 'node:fs';
import { ReceivedFile } from '../../index.js';
import { oneLine } from '../failure.js';
import { Decoder } from './decoder.js';
import type { Direction, Print, ProxyEvent } from './events.js';

const GONE = new Set(['EPIPE', 'ECONNRESET']);

export class Watcher {
  readonly #print: (event: ProxyEvent) => void;
  /** Undefined when nothing more is decoded. */
  #decoder: Decoder | undefined;
  readonly #bytes: Record<Direction, number> = { 'to server': 0, 'to client': 0 };
  readonly #descriptors: Record<Direction, number> = { 'to server': 0, 'to client': 0 };
  #closed = false;

  constructor(connection: number, print: Print) {
    const throwing = (event: ProxyEvent) => print(connection, event);
    this.#decoder = new Decoder(throwing);
    this.#print = (event) => {
      try {
        throwing(event);
      } catch {
        // There is nowhere to tell it.
      }
    };
  }

  open(peer: string): void {
    this.#print({ event: 'open', peer });
  }

  /** A descriptor came. It belongs to this method, which closes it. Returns its number. */
  descriptor(direction: Direction, fd: number): number {
    const number = ++this.#descriptors[direction];
    try {
      using file = new ReceivedFile(fd);
      const { kind, access } = file;
      const inode = file.url.slice('inode://'.length);
      const path = pathOf(file);
      this.#print({ event: 'descriptor', direction, number, kind, access, path, inode });
      this.#decode((decoder) => decoder.descriptor(direction, number, inode));
    } catch (error) {
      this.trouble(`it cannot be looked at: ${oneLine(error)}`, { direction, number });
    }
    return number;
  }

  trouble(trouble: string, more: { direction: Direction; number?: number } | object = {}): void {
    this.#print({ event: 'trouble', trouble, ...more });
  }

  /** The socket of an end failed. A client may go once all its calls have ended, also with something on its way to it. */
  failed(end: 'client' | 'server', error: Error): void {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (end === 'client' && GONE.has(code) && this.#decoder?.openCalls === 0) return;
    this.trouble(`the ${end} failed: ${oneLine(error)}`);
  }

  bytes(direction: Direction, chunk: Buffer): void {
    this.#bytes[direction] += chunk.length;
    this.#decode((decoder) => {
      if (!decoder.bytes(direction, chunk)) this.#decoder = undefined;
    });
  }

  /** Both sockets have closed. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#decode((decoder) => decoder.close());
    const { 'to server': bytesToServer, 'to client': bytesToClient } = this.#bytes;
    this.#print({ event: 'close', bytesToServer, bytesToClient });
  }

  /** The door to all that reads what ends have written. What it has kept is released when it fails. */
  #decode(step: (decoder: Decoder) => void): void {
    if (this.#decoder === undefined) return;
    try {
      step(this.#decoder);
    } catch (error) {
      this.#decoder = undefined;
      const reason = error instanceof RangeError ? oneLine(error) : `a fault of grpcfd: ${oneLine(error)}`;
      this.trouble(`what follows on this connection is not decoded: ${reason}`);
    }
  }
}

function pathOf(file: ReceivedFile): string {
  try {
    return readlinkSync(`/proc/self/fd/${file.fd}`);
  } catch {
    // /proc is not mounted.
    return '';
  }
}
