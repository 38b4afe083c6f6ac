/**
 * Follows the calls of one connection: which descriptor belongs to which. Any end may be hostile. So all that is kept has a bound, and what takes
 * too long is not done: the decoder throws then, and is not used any more.
 */
import { CallTracker, type TrackedCall } from './calls.js';
import { type Descriptor, DescriptorTable, MOST_KEPT } from './descriptors.js';
import type { Direction, ProxyEvent } from './events.js';
import { FrameReader, PREFACE } from './frames.js';
import {
  copyOf,
  type FoundName,
  MOST_NUMBERS,
  type NamedBySequence,
  parseRequestMetadata,
  parseResponseMetadata,
} from './names.js';

const TLS_HANDSHAKE = 0x16;
/** What a server may send before its client has said what it speaks. A server of HTTP/2 sends SETTINGS. */
const MOST_EARLY_BYTES = 64 * 1024;
/** Names in messages that wait for their descriptors, in all calls. */
const MOST_WAITING_NAMES = 1000;
/** Of the numbers in one value of metadata whose descriptors have not come, so many have a line. */
const MOST_LINES = 10;
/**
 * The work that metadata may make: a unit is a character that is read, or a number that is looked up, and a line takes a thousand. A compressed header of
 * a few bytes can stand for thousands of numbers. A peer that sends what it names makes much less work than this.
 */
const FREE_WORK = 1_000_000;
const WORK_PER_BYTE = 64;
const WORK_PER_LINE = 1000;

type Protocol = 'unknown' | 'HTTP/2' | 'TLS' | 'other';

const TEXT = {
  'HTTP/2': 'HTTP/2 in plaintext',
  TLS: 'TLS: only descriptors can be seen',
  other: 'not HTTP/2: only descriptors can be seen',
} as const;

const DIRECTIONS = ['to server', 'to client'] as const;
const OTHER: Readonly<Record<Direction, Direction>> = { 'to server': 'to client', 'to client': 'to server' };

export class Decoder {
  readonly #print: (event: ProxyEvent) => void;
  readonly #descriptors: Readonly<Record<Direction, DescriptorTable>> = {
    'to server': new DescriptorTable(),
    'to client': new DescriptorTable(),
  };
  readonly #readers: Readonly<Record<Direction, FrameReader>>;
  readonly #calls: CallTracker;
  #protocol: Protocol = 'unknown';
  #connectionId: string | undefined;
  /** What the client sent before the protocol was known. */
  #start = Buffer.alloc(0);
  /** What the server sent before that. */
  #early: Buffer[] = [];
  #earlyBytes = 0;
  #bytes = 0;
  #work = 0;
  #waitingNames = 0;

  constructor(print: (event: ProxyEvent) => void) {
    this.#print = print;
    this.#calls = new CallTracker({
      onStart: (call) => this.#print({ event: 'call', ...idOf(call) }),
      onEnd: (call, status, details) => this.#onEnd(call, status, details),
      onMetadata: (call, direction, value) => this.#onMetadata(call, direction, value),
      onName: (call, direction, name) => this.#onName(call, direction, name),
    });
    const reader = (direction: Direction, skip: number) =>
      new FrameReader(this.#calls.listener(direction), skip, (bytes) =>
        this.#readers[OTHER[direction]].allowTable(bytes),
      );
    this.#readers = { 'to server': reader('to server', PREFACE.length), 'to client': reader('to client', 0) };
  }

  get openCalls(): number {
    return this.#calls.openCount;
  }

  /** Returns false when nothing more can be decoded, because this is not HTTP/2. @throws when it gives up */
  bytes(direction: Direction, chunk: Buffer): boolean {
    this.#bytes += chunk.length;
    if (this.#protocol === 'HTTP/2') this.#readers[direction].push(chunk);
    // A server may send its SETTINGS first.
    else if (direction === 'to client') this.#keepEarly(chunk);
    else this.#recognise(chunk);
    return this.#protocol === 'HTTP/2' || this.#protocol === 'unknown';
  }

  #keepEarly(chunk: Buffer): void {
    this.#earlyBytes += chunk.length;
    if (this.#earlyBytes > MOST_EARLY_BYTES) {
      throw new RangeError('the server has sent too much before its client said what it speaks');
    }
    // What is kept must not keep what was read with it.
    this.#early.push(Buffer.from(chunk));
  }

  /** The first bytes of the client tell the protocol. */
  #recognise(chunk: Buffer): void {
    const start = Buffer.concat([this.#start, chunk]);
    if (start[0] === TLS_HANDSHAKE) this.#protocol = 'TLS';
    else if (!PREFACE.subarray(0, start.length).equals(start.subarray(0, PREFACE.length))) {
      this.#protocol = 'other';
    } else if (start.length >= PREFACE.length) this.#protocol = 'HTTP/2';
    else {
      this.#start = start;
      return;
    }
    this.#print({ event: 'protocol', protocol: TEXT[this.#protocol] });
    if (this.#protocol !== 'HTTP/2') return;
    for (const early of this.#early.splice(0)) this.#readers['to client'].push(early);
    this.#start = Buffer.alloc(0);
    this.#readers['to server'].push(start);
  }

  descriptor(direction: Direction, number: number, inode: string): void {
    const forgotten = this.#descriptors[direction].add(number, inode);
    if (forgotten?.names.size !== 0) return;
    const trouble = `no call has named it, and ${MOST_KEPT} have come since, so it is not looked for any more`;
    this.#print({ event: 'trouble', trouble, direction, number: forgotten.number });
  }

  #trouble(call: TrackedCall, trouble: string): void {
    this.#print({ event: 'trouble', trouble, ...idOf(call) });
  }

  #spend(work: number): void {
    this.#work += work;
    if (this.#work > FREE_WORK + WORK_PER_BYTE * this.#bytes) {
      throw new RangeError('metadata names far more descriptors than have come');
    }
  }

  #onMetadata(call: TrackedCall, direction: Direction, value: string): void {
    this.#spend(value.length);
    const parsed = direction === 'to server' ? parseRequestMetadata(value) : parseResponseMetadata(value);
    if (parsed === undefined) return;
    if (parsed.connectionId !== undefined) this.#connectionId ??= copyOf(parsed.connectionId);
    this.#spend(parsed.names.length);
    this.#followMetadata(call, direction, parsed);
  }

  #followMetadata(call: TrackedCall, direction: Direction, { names, hasMore }: NamedBySequence): void {
    const table = this.#descriptors[direction];
    let missing = 0;
    for (const { reference, sequence } of names) {
      const descriptor = table.get(sequence);
      if (descriptor === undefined) {
        if (++missing > MOST_LINES) continue;
        const name = reference ?? this.#ownReference(direction, sequence);
        const reason = sequence === 0 ? 'its sender could not send it' : 'it has not come';
        this.#spend(WORK_PER_LINE);
        this.#trouble(call, `the metadata names ${name}, but ${reason}`);
        continue;
      }
      if (reference !== undefined) table.refer(descriptor, reference);
      // Trailers repeat what headers told.
      if (descriptor.names.size > 0) continue;
      this.#named(
        call,
        direction,
        descriptor,
        reference ?? this.#ownReference(direction, sequence),
        'metadata',
      );
    }
    const more = missing - MOST_LINES;
    if (more > 0) this.#trouble(call, `the metadata names ${more} more that have not come`);
    if (hasMore) {
      this.#trouble(
        call,
        `the metadata names more than ${MOST_NUMBERS} descriptors: the others are left out`,
      );
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
    else if (this.#find(OTHER[direction], name) === undefined) this.#wait(call, direction, name);
  }

  #wait(call: TrackedCall, direction: Direction, name: FoundName): void {
    if (call.missing.has(name.text)) return;
    if (this.#waitingNames === MOST_WAITING_NAMES) {
      call.leftOut++;
      return;
    }
    this.#waitingNames++;
    call.missing.set(name.text, { direction, name });
  }

  #find(direction: Direction, { inode, references }: FoundName): Descriptor | undefined {
    const table = this.#descriptors[direction];
    if (inode !== undefined) return table.ofInode(inode);
    for (const reference of references) {
      const known = table.ofReference(reference);
      if (known !== undefined) return known;
      const number = Number(reference.slice(reference.lastIndexOf(':') + 1));
      const own = reference === this.#ownReference(direction, number) ? table.get(number) : undefined;
      if (own !== undefined) return own;
    }
    return undefined;
  }

  #named(
    call: TrackedCall,
    direction: Direction,
    descriptor: Descriptor,
    name: string,
    where: 'metadata' | 'message',
  ): void {
    if (!this.#descriptors[direction].isNew(descriptor, `${where} ${name}`)) return;
    this.#print({ event: 'named', direction, number: descriptor.number, name, where, ...idOf(call) });
  }

  #onEnd(call: TrackedCall, status: string, details: string): void {
    this.#waitingNames -= call.missing.size;
    for (const [text, { direction, name }] of call.missing) {
      const found = this.#find(direction, name);
      if (found !== undefined) this.#named(call, direction, found, text, 'message');
      else this.#trouble(call, `a message names ${text}, which has not come`);
    }
    if (call.leftOut > 0) {
      const reason = `${MOST_WAITING_NAMES} names of this connection waited already`;
      this.#trouble(call, `${call.leftOut} more names in its messages were not followed: ${reason}`);
    }
    if (call.compressed) this.#trouble(call, 'its messages are compressed, so their names cannot be seen');
    this.#print({
      event: 'end',
      ...idOf(call),
      status,
      ...(details !== '' && details !== status && { details }),
    });
    if (/\bERR_GRPCFD_\w+/.test(details)) this.#trouble(call, `failed for a descriptor: ${details}`);
  }

  /** Both sockets have closed. */
  close(): void {
    for (const call of this.#calls.open) this.#trouble(call, 'the connection closed before it ended');
    if (this.#protocol !== 'HTTP/2') return;
    for (const direction of DIRECTIONS) {
      for (const { number } of this.#descriptors[direction].unnamed()) {
        const trouble = 'no call named it, so nobody received it by name';
        this.#print({ event: 'trouble', trouble, direction, number });
      }
    }
  }
}

function idOf({ number, method }: TrackedCall): { call: number; method: string } {
  return { call: number, method };
}
