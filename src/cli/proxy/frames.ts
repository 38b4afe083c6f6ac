/** Reads one direction of an HTTP/2 connection that others speak (RFC 9113). */
import { type HeaderField, HpackDecoder } from './hpack.js';

/** The first bytes of a client. */
export const PREFACE: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

const TYPE = { DATA: 0, HEADERS: 1, RST_STREAM: 3, PUSH_PROMISE: 5, CONTINUATION: 9 } as const;
const FLAG = { END_STREAM: 1, END_HEADERS: 4, PADDED: 8, PRIORITY: 0x20 } as const;
const HEAD_BYTES = 9;
const PRIORITY_BYTES = 5;
/** A block of headers above it ends the connection with any known library. */
const LARGEST_BLOCK_BYTES = 1024 * 1024;

export interface FrameListener {
  onHeaders(streamId: number, fields: readonly HeaderField[], endStream: boolean): void;
  onData(streamId: number, bytes: Buffer, endStream: boolean): void;
  onReset(streamId: number, code: number): void;
}

export class FrameReader {
  readonly #listener: FrameListener;
  readonly #hpack = new HpackDecoder();
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** The bytes before the next frame or preface can be read. */
  #needed: number;
  /** The preface is still to come. */
  #skip: number;
  #block: { readonly streamId: number; readonly endStream: boolean; bytes: Buffer } | undefined;

  /** `skip`: the bytes before the first frame. */
  constructor(listener: FrameListener, skip: number) {
    this.#listener = listener;
    this.#skip = skip;
    this.#needed = Math.max(skip, HEAD_BYTES);
  }

  /** @throws RangeError where this is not HTTP/2. Nothing can be read after that. */
  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    // What is not complete is put together once, and not with each chunk.
    if (this.#bytes < this.#needed) return;
    let rest = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    if (this.#skip > 0) rest = rest.subarray(this.#skip);
    this.#skip = 0;
    this.#needed = HEAD_BYTES;
    while (rest.length >= HEAD_BYTES) {
      const end = HEAD_BYTES + rest.readUIntBE(0, 3);
      if (rest.length < end) {
        this.#needed = end;
        break;
      }
      this.#frame(
        rest.readUInt8(3),
        rest.readUInt8(4),
        rest.readUInt32BE(5) & 0x7fffffff,
        rest.subarray(HEAD_BYTES, end),
      );
      rest = rest.subarray(end);
    }
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#bytes = rest.length;
  }

  #frame(type: number, flags: number, streamId: number, payload: Buffer): void {
    if (this.#block !== undefined && type !== TYPE.CONTINUATION) {
      throw new RangeError('a block of headers was interrupted');
    }
    const endStream = (flags & FLAG.END_STREAM) !== 0;
    switch (type) {
      case TYPE.DATA:
        this.#listener.onData(streamId, withoutPadding(payload, flags), endStream);
        break;
      case TYPE.HEADERS: {
        const content = withoutPadding(payload, flags);
        const bytes = flags & FLAG.PRIORITY ? content.subarray(PRIORITY_BYTES) : content;
        this.#block = { streamId, endStream, bytes };
        this.#endBlock(flags);
        break;
      }
      case TYPE.CONTINUATION:
        this.#continueBlock(streamId, payload);
        this.#endBlock(flags);
        break;
      case TYPE.RST_STREAM:
        this.#listener.onReset(streamId, payload.readUInt32BE(0));
        break;
      case TYPE.PUSH_PROMISE:
        throw new RangeError('gRPC pushes nothing');
      default:
        break;
    }
  }

  #continueBlock(streamId: number, payload: Buffer): void {
    if (this.#block?.streamId !== streamId) throw new RangeError('a CONTINUATION without HEADERS');
    this.#block.bytes = Buffer.concat([this.#block.bytes, payload]);
    if (this.#block.bytes.length > LARGEST_BLOCK_BYTES) {
      throw new RangeError('a block of headers is too large');
    }
  }

  #endBlock(flags: number): void {
    if (this.#block === undefined || !(flags & FLAG.END_HEADERS)) return;
    const { streamId, endStream, bytes } = this.#block;
    this.#block = undefined;
    this.#listener.onHeaders(streamId, this.#hpack.decode(bytes), endStream);
  }
}

function withoutPadding(payload: Buffer, flags: number): Buffer {
  if (!(flags & FLAG.PADDED)) return payload;
  const padding = payload.readUInt8(0);
  if (padding >= payload.length) throw new RangeError('the padding is longer than its frame');
  return payload.subarray(1, payload.length - padding);
}
