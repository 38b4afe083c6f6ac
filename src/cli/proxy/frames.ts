/** Reads one direction of an HTTP/2 connection that others speak (RFC 9113). It keeps no more than a block of headers. */
import { type HeaderField, HpackDecoder } from './hpack.js';

/** The first bytes of a client. */
export const PREFACE: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

const TYPE = { DATA: 0, HEADERS: 1, RST_STREAM: 3, SETTINGS: 4, PUSH_PROMISE: 5, CONTINUATION: 9 } as const;
const FLAG = { END_STREAM: 1, END_HEADERS: 4, PADDED: 8, PRIORITY: 0x20 } as const;
const HEAD_BYTES = 9;
const PRIORITY_BYTES = 5;
const RESET_BYTES = 4;
const SETTING_BYTES = 6;
const HEADER_TABLE_SIZE = 1;
/** A block of headers above it ends the connection with any known library. */
const LARGEST_BLOCK_BYTES = 1024 * 1024;
/** A block of that size needs 64 frames of the size that each receiver takes. */
const MOST_FRAMES_OF_BLOCK = 1024;
/** There are six known settings. */
const LARGEST_SETTINGS_BYTES = 4096;

export interface FrameListener {
  onHeaders(streamId: number, fields: readonly HeaderField[], endStream: boolean): void;
  /** The bytes of a frame may come in several pieces. `endStream` is of the last one. */
  onData(streamId: number, bytes: Buffer, endStream: boolean): void;
  onReset(streamId: number, code: number): void;
}

/** A frame whose head has come. */
interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly length: number;
  /** The bytes of its payload that are still to come. */
  left: number;
  /** The length of the padding of DATA, once it is known. */
  padding: number | undefined;
  /** The payload up to here, of a frame that is needed as a whole and came in several pieces. */
  payload: Buffer | undefined;
}

interface Block {
  readonly streamId: number;
  readonly endStream: boolean;
  readonly pieces: Buffer[];
  bytes: number;
}

export class FrameReader {
  readonly #listener: FrameListener;
  readonly #onTableSize: (bytes: number) => void;
  readonly #hpack = new HpackDecoder();
  /** The bytes before the next frame that are still to come: the preface. */
  #skip: number;
  readonly #head = Buffer.alloc(HEAD_BYTES);
  #headBytes = 0;
  #frame: Frame | undefined;
  #block: Block | undefined;

  /** `skip`: the bytes before the first frame. `onTableSize` gets what the sender allows the other end: {@link allowTable}. */
  constructor(listener: FrameListener, skip: number, onTableSize: (bytes: number) => void) {
    this.#listener = listener;
    this.#skip = skip;
    this.#onTableSize = onTableSize;
  }

  /** The receiver lets the sender use a table for headers of that size. */
  allowTable(bytes: number): void {
    this.#hpack.allow(bytes);
  }

  /** @throws RangeError where this is not HTTP/2. Nothing can be read after that. */
  push(chunk: Buffer): void {
    const skipped = Math.min(this.#skip, chunk.length);
    this.#skip -= skipped;
    let rest = chunk.subarray(skipped);
    for (;;) {
      if (this.#frame === undefined) {
        const taken = rest.copy(this.#head, this.#headBytes);
        this.#headBytes += taken;
        if (this.#headBytes < HEAD_BYTES) return;
        this.#headBytes = 0;
        this.#frame = this.#begin();
        rest = rest.subarray(taken);
      }
      const frame = this.#frame;
      const piece = rest.subarray(0, frame.left);
      rest = rest.subarray(piece.length);
      frame.left -= piece.length;
      this.#take(frame, piece);
      if (frame.left > 0) return;
      this.#frame = undefined;
    }
  }

  /** The frame of the head. What is too long is refused before it comes. */
  #begin(): Frame {
    const length = this.#head.readUIntBE(0, 3);
    const type = this.#head.readUInt8(3);
    const flags = this.#head.readUInt8(4);
    const streamId = this.#head.readUInt32BE(5) & 0x7fffffff;
    if (this.#block !== undefined && type !== TYPE.CONTINUATION) {
      throw new RangeError('a block of headers was interrupted');
    }
    switch (type) {
      case TYPE.HEADERS:
        this.#block = { streamId, endStream: (flags & FLAG.END_STREAM) !== 0, pieces: [], bytes: 0 };
        this.#grow(this.#block, length);
        break;
      case TYPE.CONTINUATION:
        if (this.#block?.streamId !== streamId) throw new RangeError('a CONTINUATION without HEADERS');
        this.#grow(this.#block, length);
        break;
      case TYPE.RST_STREAM:
        if (length !== RESET_BYTES) throw new RangeError(`a RST_STREAM of ${length} bytes`);
        break;
      case TYPE.SETTINGS:
        if (length > LARGEST_SETTINGS_BYTES) throw new RangeError(`SETTINGS of ${length} bytes`);
        break;
      case TYPE.PUSH_PROMISE:
        throw new RangeError('gRPC pushes nothing');
      default:
        break;
    }
    return { type, flags, streamId, length, left: length, padding: undefined, payload: undefined };
  }

  #grow(block: Block, bytes: number): void {
    block.bytes += bytes;
    if (block.bytes > LARGEST_BLOCK_BYTES) throw new RangeError('a block of headers is too large');
    if (block.pieces.length === MOST_FRAMES_OF_BLOCK) {
      throw new RangeError('a block of headers comes in too many frames');
    }
  }

  /** The next piece of the payload, which may be empty. */
  #take(frame: Frame, piece: Buffer): void {
    switch (frame.type) {
      case TYPE.DATA:
        this.#takeData(frame, piece);
        break;
      case TYPE.HEADERS:
      case TYPE.CONTINUATION:
      case TYPE.RST_STREAM:
      case TYPE.SETTINGS: {
        const payload = whole(frame, piece);
        if (payload !== undefined) this.#takeWhole(frame, payload);
        break;
      }
      default:
        break;
    }
  }

  #takeData(frame: Frame, piece: Buffer): void {
    let bytes = piece;
    if (frame.flags & FLAG.PADDED && frame.padding === undefined) {
      if (piece.length === 0 && frame.left > 0) return;
      frame.padding = paddingOf(piece, frame.length);
      bytes = piece.subarray(1);
    }
    // What is left of the frame is padding, too, or even this piece ends with some.
    const padding = Math.max(0, (frame.padding ?? 0) - frame.left);
    bytes = bytes.subarray(0, Math.max(0, bytes.length - padding));
    const endStream = frame.left === 0 && (frame.flags & FLAG.END_STREAM) !== 0;
    if (bytes.length > 0 || endStream) this.#listener.onData(frame.streamId, bytes, endStream);
  }

  #takeWhole({ type, flags, streamId, length }: Frame, payload: Buffer): void {
    if (type === TYPE.RST_STREAM) this.#listener.onReset(streamId, payload.readUInt32BE(0));
    else if (type === TYPE.SETTINGS) this.#takeSettings(payload);
    else if (type === TYPE.CONTINUATION) this.#takeBlock(flags, payload);
    else {
      const padding = flags & FLAG.PADDED ? paddingOf(payload, length) : 0;
      const from = (flags & FLAG.PADDED ? 1 : 0) + (flags & FLAG.PRIORITY ? PRIORITY_BYTES : 0);
      this.#takeBlock(flags, payload.subarray(from, Math.max(from, length - padding)));
    }
  }

  #takeSettings(payload: Buffer): void {
    for (let at = 0; at + SETTING_BYTES <= payload.length; at += SETTING_BYTES) {
      if (payload.readUInt16BE(at) === HEADER_TABLE_SIZE) this.#onTableSize(payload.readUInt32BE(at + 2));
    }
  }

  #takeBlock(flags: number, piece: Buffer): void {
    const block = this.#block;
    if (block === undefined) return;
    if (!(flags & FLAG.END_HEADERS)) {
      // What is kept must not keep what was read with it.
      block.pieces.push(Buffer.from(piece));
      return;
    }
    this.#block = undefined;
    const bytes = block.pieces.length === 0 ? piece : Buffer.concat([...block.pieces, piece]);
    this.#listener.onHeaders(block.streamId, this.#hpack.decode(bytes), block.endStream);
  }
}

/** The payload, once all of it has come. */
function whole(frame: Frame, piece: Buffer): Buffer | undefined {
  if (piece.length === frame.length) return piece;
  frame.payload ??= Buffer.allocUnsafeSlow(frame.length);
  piece.copy(frame.payload, frame.length - frame.left - piece.length);
  return frame.left === 0 ? frame.payload : undefined;
}

function paddingOf(payload: Buffer, length: number): number {
  const padding = payload.readUInt8(0);
  if (padding >= length) throw new RangeError('the padding is longer than its frame');
  return padding;
}
