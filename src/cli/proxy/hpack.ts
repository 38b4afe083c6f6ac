/** Header compression of HTTP/2 (RFC 7541), the decoding half. */
import { decodeHuffman } from './huffman.js';

export type HeaderField = readonly [name: string, value: string];

/** The static table (appendix A), in its order. Indices begin at 1. */
const STATIC: readonly HeaderField[] = [
  [':authority', ''],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  [':status', '200'],
  [':status', '204'],
  [':status', '206'],
  [':status', '304'],
  [':status', '400'],
  [':status', '404'],
  [':status', '500'],
  ['accept-charset', ''],
  ['accept-encoding', 'gzip, deflate'],
  ['accept-language', ''],
  ['accept-ranges', ''],
  ['accept', ''],
  ['access-control-allow-origin', ''],
  ['age', ''],
  ['allow', ''],
  ['authorization', ''],
  ['cache-control', ''],
  ['content-disposition', ''],
  ['content-encoding', ''],
  ['content-language', ''],
  ['content-length', ''],
  ['content-location', ''],
  ['content-range', ''],
  ['content-type', ''],
  ['cookie', ''],
  ['date', ''],
  ['etag', ''],
  ['expect', ''],
  ['expires', ''],
  ['from', ''],
  ['host', ''],
  ['if-match', ''],
  ['if-modified-since', ''],
  ['if-none-match', ''],
  ['if-range', ''],
  ['if-unmodified-since', ''],
  ['last-modified', ''],
  ['link', ''],
  ['location', ''],
  ['max-forwards', ''],
  ['proxy-authenticate', ''],
  ['proxy-authorization', ''],
  ['range', ''],
  ['referer', ''],
  ['refresh', ''],
  ['retry-after', ''],
  ['server', ''],
  ['set-cookie', ''],
  ['strict-transport-security', ''],
  ['transfer-encoding', ''],
  ['user-agent', ''],
  ['vary', ''],
  ['via', ''],
  ['www-authenticate', ''],
];

/** What each entry of the dynamic table counts above its bytes (4.1). */
const ENTRY_OVERHEAD = 32;
const DEFAULT_TABLE_BYTES = 4096;
/** A peer that allows more must not make this process keep it. No library of gRPC uses more by default. */
const LARGEST_TABLE_BYTES = 64 * 1024;
/** Of one block. Libraries send a few dozens. */
const MOST_FIELDS = 10_000;

/** The decoder of one direction of a connection. It must see each header block of it, in order. */
export class HpackDecoder {
  /** The dynamic table, by the order in which its entries came. */
  readonly #dynamic = new Map<number, HeaderField>();
  /** How many entries have ever come, and how many of them were evicted. */
  #added = 0;
  #evicted = 0;
  #bytes = 0;
  #maxBytes: number;
  /** What the sender may set {@link #maxBytes} to. */
  #allowedBytes: number;

  /** The entries of the dynamic table and their size, newest first. */
  get table(): { readonly fields: readonly HeaderField[]; readonly bytes: number } {
    return { fields: [...this.#dynamic.values()].reverse(), bytes: this.#bytes };
  }

  /** Without an argument, the size that both ends begin with. */
  constructor(maxBytes = DEFAULT_TABLE_BYTES) {
    this.#maxBytes = maxBytes;
    this.#allowedBytes = Math.max(maxBytes, DEFAULT_TABLE_BYTES);
  }

  /** The receiver has told its SETTINGS_HEADER_TABLE_SIZE. An earlier one may still be in use. */
  allow(maxBytes: number): void {
    this.#allowedBytes = Math.max(this.#allowedBytes, Math.min(maxBytes, LARGEST_TABLE_BYTES));
  }

  /** @throws RangeError where the block is malformed. Nothing can be decoded after that. */
  decode(block: Uint8Array): HeaderField[] {
    const reader = new Reader(block);
    const fields: HeaderField[] = [];
    while (!reader.atEnd) {
      const first = reader.peek();
      if (first >= 0x80) fields.push(this.#at(reader.integer(7)));
      else if (first >= 0x40) fields.push(this.#remember(this.#literal(reader, 6)));
      else if (first >= 0x20) this.#resize(reader.integer(5));
      else fields.push(this.#literal(reader, 4));
      if (fields.length > MOST_FIELDS)
        throw new RangeError(`a block of headers has more than ${MOST_FIELDS} fields`);
    }
    return fields;
  }

  #literal(reader: Reader, prefixBits: number): HeaderField {
    const index = reader.integer(prefixBits);
    const name = index === 0 ? reader.string() : this.#at(index)[0];
    return [name, reader.string()];
  }

  /** In the dynamic table, the newest entry has the lowest index. */
  #at(index: number): HeaderField {
    const field =
      index <= STATIC.length ? STATIC[index - 1] : this.#dynamic.get(this.#added - (index - STATIC.length));
    if (field === undefined) throw new RangeError(`the tables have no entry ${index}`);
    return field;
  }

  #remember(field: HeaderField): HeaderField {
    this.#dynamic.set(this.#added++, field);
    this.#bytes += sizeOf(field);
    this.#evict();
    return field;
  }

  #resize(maxBytes: number): void {
    if (maxBytes > this.#allowedBytes) {
      throw new RangeError(
        `a table of ${maxBytes} bytes for headers is too large: ${this.#allowedBytes} are allowed`,
      );
    }
    this.#maxBytes = maxBytes;
    this.#evict();
  }

  #evict(): void {
    while (this.#bytes > this.#maxBytes) {
      const oldest = this.#dynamic.get(this.#evicted);
      if (oldest === undefined) return;
      this.#dynamic.delete(this.#evicted++);
      this.#bytes -= sizeOf(oldest);
    }
  }
}

/** Strings have a character for each byte here, so their length is their size. */
function sizeOf([name, value]: HeaderField): number {
  return name.length + value.length + ENTRY_OVERHEAD;
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  peek(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new RangeError('the header block is cut off');
    return byte;
  }

  /** An integer whose first byte has `prefixBits` of it (5.1). */
  integer(prefixBits: number): number {
    const mask = 2 ** prefixBits - 1;
    let value = this.peek() & mask;
    this.#at++;
    if (value < mask) return value;
    for (let factor = 1; factor < 2 ** 35; factor *= 128) {
      const byte = this.peek();
      this.#at++;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    throw new RangeError('an integer is too large');
  }

  /** A string (5.2). */
  string(): string {
    const isHuffman = this.peek() >= 0x80;
    const length = this.integer(7);
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new RangeError('the header block is cut off');
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return (isHuffman ? decodeHuffman(bytes) : Buffer.from(bytes)).toString('latin1');
  }
}
