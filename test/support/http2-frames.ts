/** Frames of HTTP/2, made and read by hand: in any order, and many in one write. */

export const FRAME = {
  DATA: 0,
  HEADERS: 1,
  RST_STREAM: 3,
  SETTINGS: 4,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
  /** Of no known type: a receiver has to ignore it. */
  UNKNOWN: 0xfa,
} as const;

const END_STREAM = 1;
const END_HEADERS = 4;
const ACK = 1;
const HEADER_BYTES = 9;
const LARGEST_FRAME = 16_384;

/** The first bytes of a client. */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export function frame(type: number, flags = 0, streamId = 0, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

export const settings = (): Buffer => frame(FRAME.SETTINGS);
/** SETTINGS_MAX_CONCURRENT_STREAMS: how many streams the other end may have open. */
export const allowStreams = (count: number): Buffer =>
  frame(FRAME.SETTINGS, 0, 0, Buffer.concat([Buffer.of(0, 3), words(count)]));
export const settingsAck = (): Buffer => frame(FRAME.SETTINGS, ACK);
export const pingAck = (payload: Buffer): Buffer => frame(FRAME.PING, ACK, 0, payload);
export const reset = (streamId: number, code = 8): Buffer =>
  frame(FRAME.RST_STREAM, 0, streamId, words(code));
export const goaway = (lastStreamId: number): Buffer => frame(FRAME.GOAWAY, 0, 0, words(lastStreamId, 0));
export const windowUpdate = (streamId: number, bytes: number): Buffer =>
  frame(FRAME.WINDOW_UPDATE, 0, streamId, words(bytes));

/** The two words of a GOAWAY. */
export function readGoaway({ payload }: Frame): { lastStreamId: number; code: number } {
  return { lastStreamId: payload.readUInt32BE(0), code: payload.readUInt32BE(4) };
}

/** HEADERS, and as many CONTINUATION as they need. */
export function headers(streamId: number, fields: Record<string, string>, endStream = false): Buffer {
  const block = Buffer.concat(Object.entries(fields).map(([name, value]) => literal(name, value)));
  const pieces: Buffer[] = [];
  for (let from = 0; from < block.length; from += LARGEST_FRAME) {
    const isLast = from + LARGEST_FRAME >= block.length;
    const type = from === 0 ? FRAME.HEADERS : FRAME.CONTINUATION;
    const flags = (isLast ? END_HEADERS : 0) | (from === 0 && endStream ? END_STREAM : 0);
    pieces.push(frame(type, flags, streamId, block.subarray(from, from + LARGEST_FRAME)));
  }
  return Buffer.concat(pieces);
}

/** The HEADERS of a gRPC call. */
export function callHeaders(streamId: number, path: string, more: Record<string, string> = {}): Buffer {
  return headers(streamId, {
    ':method': 'POST',
    ':scheme': 'http',
    ':path': path,
    ':authority': 'localhost',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...more,
  });
}

/** DATA with one gRPC message of JSON. */
export function message(streamId: number, value: unknown, endStream = true): Buffer {
  const body = Buffer.from(JSON.stringify(value));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return frame(FRAME.DATA, endStream ? END_STREAM : 0, streamId, Buffer.concat([head, body]));
}

export const responseHeaders = (streamId: number, more: Record<string, string> = {}): Buffer =>
  headers(streamId, { ':status': '200', 'content-type': 'application/grpc', ...more });
export const trailers = (streamId: number, status = 0): Buffer =>
  headers(streamId, { 'grpc-status': String(status) }, true);
/** A response without headers of its own. */
export const trailersOnly = (streamId: number, status: number): Buffer =>
  headers(
    streamId,
    { ':status': '200', 'content-type': 'application/grpc', 'grpc-status': String(status) },
    true,
  );

function words(...values: number[]): Buffer {
  const buffer = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) buffer.writeUInt32BE(value, 4 * index);
  return buffer;
}

/** A field that is neither compressed nor remembered. */
function literal(name: string, value: string): Buffer {
  const [nameBytes, valueBytes] = [Buffer.from(name), Buffer.from(value)];
  return Buffer.concat([
    Buffer.of(0),
    length(nameBytes.length),
    nameBytes,
    length(valueBytes.length),
    valueBytes,
  ]);
}

/** An integer with a prefix of seven bits (RFC 7541, 5.1). */
function length(value: number): Buffer {
  if (value < 127) return Buffer.of(value);
  const bytes = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** Cuts what comes into frames. */
export class FrameReader {
  #bytes = Buffer.alloc(0);
  #skip: number;

  /** `skip`: the bytes before the first frame. */
  constructor(skip = 0) {
    this.#skip = skip;
  }

  push(chunk: Buffer): Frame[] {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    const skipped = Math.min(this.#skip, this.#bytes.length);
    this.#skip -= skipped;
    this.#bytes = this.#bytes.subarray(skipped);
    const frames: Frame[] = [];
    while (this.#bytes.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + this.#bytes.readUIntBE(0, 3);
      if (this.#bytes.length < end) break;
      frames.push({
        type: this.#bytes.readUInt8(3),
        flags: this.#bytes.readUInt8(4),
        streamId: this.#bytes.readUInt32BE(5),
        payload: this.#bytes.subarray(HEADER_BYTES, end),
      });
      this.#bytes = this.#bytes.subarray(end);
    }
    return frames;
  }
}
