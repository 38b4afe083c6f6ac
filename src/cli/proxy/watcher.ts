/** Follows one connection through the proxy: its calls, its descriptors, and which belongs to which. */

import { readlinkSync } from 'node:fs';
import type { ReceivedFile } from '../../index.js';
import { oneLine } from '../failure.js';
import { CallTracker, type TrackedCall } from './calls.js';
import type { Direction, Print, ProxyEvent } from './events.js';
import { FrameReader, PREFACE } from './frames.js';
import { type FoundName, parseRequestMetadata, parseResponseMetadata } from './names.js';

interface Descriptor {
  readonly number: number;
  readonly inode: string;
  /** What was printed of its names. */
  readonly names: Set<string>;
}

const TLS_HANDSHAKE = 0x16;
const GONE = new Set(['EPIPE', 'ECONNRESET']);

type Protocol = 'unknown' | 'HTTP/2' | 'TLS' | 'other';

const OTHER: Readonly<Record<Direction, Direction>> = { 'to server': 'to client', 'to client': 'to server' };

export class Watcher {
  readonly #print: (event: ProxyEvent) => void;
  readonly #descriptors: Record<Direction, Descriptor[]> = { 'to server': [], 'to client': [] };
  /** The sequence number behind each reference of the metadata. */
  readonly #references = new Map<string, { readonly direction: Direction; readonly number: number }>();
  readonly #bytes: Record<Direction, number> = { 'to server': 0, 'to client': 0 };
  readonly #readers: Record<Direction, FrameReader>;
  readonly #calls: CallTracker;
  #protocol: Protocol = 'unknown';
  #connectionId: string | undefined;
  /** What the client sent before the protocol was known. */
  #start = Buffer.alloc(0);
  /** What the server sent before that. */
  readonly #early: Buffer[] = [];
  #closed = false;

  constructor(connection: number, print: Print) {
    this.#print = (event) => print(connection, event);
    this.#calls = new CallTracker({
      onStart: (call) => this.#print({ event: 'call', ...idOf(call) }),
      onEnd: (call, status, details) => this.#onEnd(call, status, details),
      onMetadata: (call, direction, value) => this.#onMetadata(call, direction, value),
      onName: (call, direction, name) => this.#onName(call, direction, name),
    });
    this.#readers = {
      'to server': new FrameReader(this.#calls.listener('to server'), PREFACE.length),
      'to client': new FrameReader(this.#calls.listener('to client'), 0),
    };
  }

  /** A descriptor came. The file stays the caller's. Returns its number. */
  descriptor(direction: Direction, file: ReceivedFile): number {
    const list = this.#descriptors[direction];
    const number = list.length + 1;
    const inode = file.url.slice('inode://'.length);
    list.push({ number, inode, names: new Set() });
    const path = readlinkSync(`/proc/self/fd/${file.fd}`);
    const { kind, access } = file;
    this.#print({ event: 'descriptor', direction, number, kind, access, path, inode });
    return number;
  }

  trouble(trouble: string, more: { direction: Direction; number?: number } | object = {}): void {
    this.#print({ event: 'trouble', trouble, ...more });
  }

  /** The socket of an end failed. A client may go once all its calls have ended, also with something on its way to it. */
  failed(end: 'client' | 'server', error: Error): void {
    const { code = '' } = error as NodeJS.ErrnoException;
    const showsCalls = this.#protocol === 'HTTP/2' || this.#protocol === 'unknown';
    if (end === 'client' && GONE.has(code) && showsCalls && this.#calls.open.length === 0) return;
    this.trouble(`the ${end} failed: ${oneLine(error)}`);
  }

  bytes(direction: Direction, chunk: Buffer): void {
    this.#bytes[direction] += chunk.length;
    const known = this.#protocol === 'unknown' ? this.#recognise(direction, chunk) : chunk;
    if (known === undefined || this.#protocol !== 'HTTP/2') return;
    try {
      this.#readers[direction].push(known);
    } catch (error) {
      this.#protocol = 'other';
      this.#print({ event: 'protocol', protocol: `not decoded any more: ${oneLine(error)}` });
    }
  }

  /** The bytes to decode, once the first bytes of the client tell the protocol. */
  #recognise(direction: Direction, chunk: Buffer): Buffer | undefined {
    // A server may send its SETTINGS first.
    if (direction === 'to client') {
      this.#early.push(chunk);
      return undefined;
    }
    this.#start = Buffer.concat([this.#start, chunk]);
    if (this.#start[0] === TLS_HANDSHAKE) this.#protocol = 'TLS';
    else if (!PREFACE.subarray(0, this.#start.length).equals(this.#start.subarray(0, PREFACE.length))) {
      this.#protocol = 'other';
    } else if (this.#start.length >= PREFACE.length) this.#protocol = 'HTTP/2';
    else return undefined;
    const text = { TLS: 'TLS: only descriptors can be seen', 'HTTP/2': 'HTTP/2 in plaintext' };
    const protocol = text[this.#protocol as keyof typeof text] ?? 'not HTTP/2: only descriptors can be seen';
    this.#print({ event: 'protocol', protocol });
    const early = this.#early.splice(0);
    if (this.#protocol === 'HTTP/2') for (const each of early) this.#readers['to client'].push(each);
    return this.#start;
  }

  #onMetadata(call: TrackedCall, direction: Direction, value: string): void {
    if (direction === 'to server') {
      const parsed = parseRequestMetadata(value);
      this.#connectionId ??= parsed?.connectionId;
      for (const { reference, sequence } of parsed?.names ?? []) {
        this.#references.set(reference, { direction, number: sequence });
        this.#named(call, direction, sequence, reference, 'metadata');
      }
      return;
    }
    for (const number of parseResponseMetadata(value)) {
      this.#named(call, direction, number, this.#ownReference(direction, number), 'metadata');
    }
  }

  /** The reference of what an end has sent outside of credentials. */
  #ownReference(direction: Direction, number: number): string {
    return `fd:${this.#connectionId ?? '?'}${direction === 'to server' ? 'c' : 's'}:${number}`;
  }

  #onName(call: TrackedCall, direction: Direction, name: FoundName): void {
    const found = this.#find(direction, name);
    if (found !== undefined) this.#named(call, direction, found, name.text, 'message');
    // A reply may repeat a name of the request.
    else if (this.#find(OTHER[direction], name) === undefined)
      call.missing.set(name.text, { direction, name });
  }

  #find(direction: Direction, { inode, references }: FoundName): number | undefined {
    const list = this.#descriptors[direction];
    if (inode !== undefined) return list.findLast((each) => each.inode === inode)?.number;
    for (const reference of references) {
      const known = this.#references.get(reference);
      if (known?.direction === direction && list[known.number - 1] !== undefined) return known.number;
      const number = Number(reference.slice(reference.lastIndexOf(':') + 1));
      if (reference === this.#ownReference(direction, number) && list[number - 1] !== undefined)
        return number;
    }
    return undefined;
  }

  #named(
    call: TrackedCall,
    direction: Direction,
    number: number,
    name: string,
    where: 'metadata' | 'message',
  ): void {
    const descriptor = this.#descriptors[direction][number - 1];
    if (descriptor === undefined) {
      const reason = number === 0 ? 'its sender could not send it' : 'it has not come';
      this.trouble(`the ${where} names ${name}, but ${reason}`, idOf(call));
      return;
    }
    // Trailers repeat what headers told.
    const known = `${where} ${name}`;
    if (descriptor.names.has(known) || (where === 'metadata' && descriptor.names.size > 0)) return;
    descriptor.names.add(known);
    this.#print({ event: 'named', direction, number, name, where, ...idOf(call) });
  }

  #onEnd(call: TrackedCall, status: string, details: string): void {
    for (const [text, { direction, name }] of call.missing) {
      const found = this.#find(direction, name);
      if (found !== undefined) this.#named(call, direction, found, text, 'message');
      else this.trouble(`a message names ${text}, which has not come`, idOf(call));
    }
    if (call.compressed)
      this.trouble('its messages are compressed, so their names cannot be seen', idOf(call));
    this.#print({
      event: 'end',
      ...idOf(call),
      status,
      ...(details !== '' && details !== status && { details }),
    });
    if (/\bERR_GRPCFD_\w+/.test(details)) this.trouble(`failed for a descriptor: ${details}`, idOf(call));
  }

  /** Both sockets have closed. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const call of this.#calls.open) this.trouble('the connection closed before it ended', idOf(call));
    if (this.#protocol === 'HTTP/2') {
      for (const direction of ['to server', 'to client'] as const) {
        for (const { number, names } of this.#descriptors[direction]) {
          if (names.size === 0)
            this.trouble('no call named it, so nobody received it by name', { direction, number });
        }
      }
    }
    const { 'to server': bytesToServer, 'to client': bytesToClient } = this.#bytes;
    this.#print({ event: 'close', bytesToServer, bytesToClient });
  }

  open(peer: string): void {
    this.#print({ event: 'open', peer });
  }
}

function idOf({ number, method }: TrackedCall): { call: number; method: string } {
  return { call: number, method };
}
