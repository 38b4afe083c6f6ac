/** HTTP/2 frames made and read by hand (RFC 9113). Header blocks are written as literals and are never read. */

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export const DATA = 0;
export const HEADERS = 1;
export const RST_STREAM = 3;
export const SETTINGS = 4;
export const PING = 6;
export const GOAWAY = 7;
export const WINDOW_UPDATE = 8;

/** On DATA and HEADERS. */
export const END_STREAM = 1;
/** On SETTINGS and PING. */
export const ACK = 1;
const END_HEADERS = 4;

const HEAD_LENGTH = 9;
const MAX_PAYLOAD = 16_384;

/** A frame as a script describes it. A stream is named by its id. */
export type Frame =
  | { readonly frame: 'preface' | 'settings-ack' | 'ping' | 'ping-ack' | 'unknown' }
  | { readonly frame: 'settings'; readonly values?: readonly (readonly [id: number, value: number])[] }
  | {
      readonly frame: 'request';
      readonly stream: number;
      readonly method: string;
      readonly end?: boolean;
      /** What its handler goes by; default: its place among the streams. */
      readonly call?: string;
    }
  | { readonly frame: 'response'; readonly stream: number }
  | {
      readonly frame: 'trailers' | 'trailers-only';
      readonly stream: number;
      readonly status: number;
    }
  /** A whole gRPC message, in as many DATA frames as it takes. */
  | { readonly frame: 'message'; readonly stream: number; readonly size: number; readonly end?: boolean }
  /** The beginning of a gRPC message of twice the size. */
  | { readonly frame: 'half-message'; readonly stream: number; readonly size: number; readonly end?: boolean }
  | { readonly frame: 'end'; readonly stream: number }
  | { readonly frame: 'rst'; readonly stream: number; readonly code: number }
  | { readonly frame: 'goaway'; readonly last: number; readonly code: number }
  | { readonly frame: 'window'; readonly stream: number; readonly by: number };

export function encode(frame: Frame): Buffer {
  switch (frame.frame) {
    case 'preface':
      return PREFACE;
    case 'settings':
      return raw(SETTINGS, 0, 0, settings(frame.values ?? []));
    case 'settings-ack':
      return raw(SETTINGS, ACK, 0);
    case 'ping':
      return raw(PING, 0, 0, Buffer.alloc(8, 'p'));
    case 'ping-ack':
      return raw(PING, ACK, 0, Buffer.alloc(8, 'p'));
    case 'unknown':
      return raw(0xfa, 0, 0, Buffer.alloc(3));
    case 'request':
      return headers(
        frame.stream,
        requestFields(frame.method, frame.call ?? String((frame.stream - 1) / 2)),
        frame.end === true,
      );
    case 'response':
      return headers(frame.stream, RESPONSE, false);
    case 'trailers':
      return headers(frame.stream, statusFields(frame.status), true);
    case 'trailers-only':
      return headers(frame.stream, Buffer.concat([RESPONSE, statusFields(frame.status)]), true);
    case 'message':
      return data(frame.stream, message(frame.size, frame.size), frame.end === true);
    case 'half-message':
      return data(frame.stream, message(frame.size, 2 * frame.size), frame.end === true);
    case 'end':
      return raw(DATA, END_STREAM, frame.stream);
    case 'rst':
      return raw(RST_STREAM, 0, frame.stream, uint32(frame.code));
    case 'goaway':
      return raw(GOAWAY, 0, 0, Buffer.concat([uint32(frame.last), uint32(frame.code)]));
    case 'window':
      return raw(WINDOW_UPDATE, 0, frame.stream, uint32(frame.by));
  }
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function raw(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(HEAD_LENGTH);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

function headers(stream: number, fields: Buffer, end: boolean): Buffer {
  return raw(HEADERS, END_HEADERS | (end ? END_STREAM : 0), stream, fields);
}

function data(stream: number, bytes: Buffer, end: boolean): Buffer {
  const frames: Buffer[] = [];
  for (let from = 0; from < bytes.length; from += MAX_PAYLOAD) {
    const last = from + MAX_PAYLOAD >= bytes.length;
    frames.push(raw(DATA, last && end ? END_STREAM : 0, stream, bytes.subarray(from, from + MAX_PAYLOAD)));
  }
  return Buffer.concat(frames);
}

function settings(values: readonly (readonly [number, number])[]): Buffer {
  const bytes = Buffer.alloc(6 * values.length);
  for (const [index, [id, value]] of values.entries()) {
    bytes.writeUInt16BE(id, 6 * index);
    bytes.writeUInt32BE(value, 6 * index + 2);
  }
  return bytes;
}

/** A gRPC message: not compressed, the length that it claims, and so many bytes of it. */
function message(size: number, claimed: number): Buffer {
  return Buffer.concat([Buffer.from([0]), uint32(claimed), Buffer.alloc(size, 'm')]);
}

/** A header field that no table of HPACK takes up (RFC 7541, 6.2.2). */
function literal(name: string, value: string): Buffer {
  return Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ]);
}

/** `:status: 200` is entry 8 of the static table. */
const RESPONSE = Buffer.concat([Buffer.from([0x88]), literal('content-type', 'application/grpc+proto')]);

function statusFields(status: number): Buffer {
  return Buffer.concat([
    literal('grpc-status', String(status)),
    literal('grpc-message', `status ${status} of the script`),
  ]);
}

function requestFields(path: string, call: string): Buffer {
  return Buffer.concat([
    literal(':method', 'POST'),
    literal(':scheme', 'http'),
    literal(':path', path),
    literal(':authority', 'localhost'),
    literal('content-type', 'application/grpc+proto'),
    literal('te', 'trailers'),
    literal('x-call', call),
  ]);
}

/** The head of a frame that arrived, and its payload. */
export interface ReceivedFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** Cuts what arrives into frames. */
export class FrameParser {
  #rest: Buffer = Buffer.alloc(0);
  #prefaceLength: number;
  readonly #onPreface: () => void;
  readonly #onFrame: (frame: ReceivedFrame) => void;

  constructor(side: 'client' | 'server', onPreface: () => void, onFrame: (frame: ReceivedFrame) => void) {
    this.#prefaceLength = side === 'server' ? PREFACE.length : 0;
    this.#onPreface = onPreface;
    this.#onFrame = onFrame;
  }

  push(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    if (this.#prefaceLength > 0) {
      if (this.#rest.length < this.#prefaceLength) return;
      this.#rest = this.#rest.subarray(this.#prefaceLength);
      this.#prefaceLength = 0;
      this.#onPreface();
    }
    while (this.#rest.length >= HEAD_LENGTH) {
      const end = HEAD_LENGTH + this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < end) return;
      const frame = this.#rest.subarray(0, end);
      this.#rest = this.#rest.subarray(end);
      this.#onFrame({
        type: frame.readUInt8(3),
        flags: frame.readUInt8(4),
        stream: frame.readUInt32BE(5) & 0x7fff_ffff,
        payload: frame.subarray(HEAD_LENGTH),
      });
    }
  }
}
