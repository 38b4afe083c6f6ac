/** The calls of a connection, from the frames of both directions. */
import type { Direction } from './events.js';
import type { FrameListener } from './frames.js';
import type { HeaderField } from './hpack.js';
import { copyOf, type FoundName, MessageReader } from './names.js';

/** The metadata in which ends of this package name descriptors. */
const NAMES_KEY = 'grpcfd-fds';

/** Each keeps some hundred bytes, and up to 3 KB if its ends want it to. */
const MOST_OPEN_CALLS = 4096;
/** Characters that are kept of a text that an end chose. */
const LONGEST_TEXT = 1024;

/** The names of gRPC statuses, by their numbers. */
const STATUS = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
];

export interface TrackedCall {
  /** Counted from 1 on each connection. */
  readonly number: number;
  readonly method: string;
  /** Names in its messages for which no descriptor has come yet. */
  readonly missing: Map<string, { readonly direction: Direction; readonly name: FoundName }>;
  /** How many more there are, which are not kept. */
  leftOut: number;
  readonly compressed: boolean;
}

interface Call extends TrackedCall {
  compressed: boolean;
  readonly messages: Readonly<Record<Direction, MessageReader>>;
}

export interface CallListener {
  onStart(call: TrackedCall): void;
  onMetadata(call: TrackedCall, direction: Direction, value: string): void;
  onName(call: TrackedCall, direction: Direction, name: FoundName): void;
  onEnd(call: TrackedCall, status: string, details: string): void;
}

export class CallTracker {
  readonly #listener: CallListener;
  /** By the ids of their streams. */
  readonly #calls = new Map<number, Call>();
  #count = 0;

  constructor(listener: CallListener) {
    this.#listener = listener;
  }

  /** Those that have not ended. */
  get open(): TrackedCall[] {
    return [...this.#calls.values()];
  }

  /** How many have not ended. */
  get openCount(): number {
    return this.#calls.size;
  }

  /** For the frames of one direction. */
  listener(direction: Direction): FrameListener {
    return {
      onHeaders: (streamId, fields, endStream) => this.#onHeaders(direction, streamId, fields, endStream),
      onData: (streamId, bytes, endStream) => this.#onData(direction, streamId, bytes, endStream),
      onReset: (streamId, code) => this.#end(streamId, `reset by the ${sender(direction)} (${code})`, ''),
    };
  }

  #onHeaders(
    direction: Direction,
    streamId: number,
    fields: readonly HeaderField[],
    endStream: boolean,
  ): void {
    const value = (wanted: string) => fields.findLast(([name]) => name === wanted)?.[1];
    const path = value(':path');
    if (direction === 'to server' && path !== undefined) this.#start(streamId, path);
    const call = this.#calls.get(streamId);
    if (call === undefined) return;
    const names = value(NAMES_KEY);
    if (names !== undefined) this.#listener.onMetadata(call, direction, names);
    if (direction === 'to server' || !endStream) return;
    const status = value('grpc-status');
    const known =
      status === undefined ? `HTTP ${value(':status') ?? 'without a status'}` : nameOfStatus(status);
    this.#end(streamId, cut(known), cut(decoded(value('grpc-message') ?? '')));
  }

  #start(streamId: number, method: string): void {
    if (this.#calls.has(streamId)) throw new RangeError(`stream ${streamId} begins twice`);
    if (this.#calls.size === MOST_OPEN_CALLS) {
      throw new RangeError(`more than ${MOST_OPEN_CALLS} calls are open`);
    }
    const reader = (direction: Direction) =>
      new MessageReader((name) => this.#listener.onName(call, direction, name));
    const call: Call = {
      number: ++this.#count,
      method: cut(method),
      missing: new Map(),
      leftOut: 0,
      compressed: false,
      messages: { 'to server': reader('to server'), 'to client': reader('to client') },
    };
    this.#calls.set(streamId, call);
    this.#listener.onStart(call);
  }

  #onData(direction: Direction, streamId: number, bytes: Buffer, endStream: boolean): void {
    const call = this.#calls.get(streamId);
    if (call === undefined) return;
    const messages = call.messages[direction];
    messages.push(bytes);
    call.compressed ||= messages.compressed;
    // A server of gRPC ends with trailers.
    if (endStream && direction === 'to client') this.#end(streamId, 'ended without trailers', '');
  }

  #end(streamId: number, status: string, details: string): void {
    const call = this.#calls.get(streamId);
    // A reset may follow the trailers.
    if (call === undefined || !this.#calls.delete(streamId)) return;
    this.#listener.onEnd(call, status, details);
  }
}

function sender(direction: Direction): string {
  return direction === 'to server' ? 'client' : 'server';
}

function nameOfStatus(status: string): string {
  if (status === '') return 'an empty status';
  return (/^\d+$/.test(status) ? STATUS[Number(status)] : undefined) ?? status;
}

function cut(text: string): string {
  return text.length <= LONGEST_TEXT ? text : `${copyOf(text.slice(0, LONGEST_TEXT))}…`;
}

/** grpc-message is percent-encoded. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
