/** The names of descriptors: in the metadata of calls, and in their messages. docs/references.md describes them. */

/** A name in a message. It means the inode, or one of the references. */
export interface FoundName {
  readonly text: string;
  readonly inode: string | undefined;
  readonly references: readonly string[];
}

/** Of a name that comes in several pieces, as much is put together. A name for each of five attempts takes about 120 characters. */
const LONGEST_NAME = 512;
const HEAD_BYTES = 5;
const NAMES = /inode:\/\/\d{1,20}\/\d{1,20}|fd:[\w-]{1,64}:\d{1,15}(?:\+[\w-]{1,64}:\d{1,15})*/g;
/** By the codes of characters: whether a name can have it. A table is much faster than a regular expression. */
const OF_NAMES = Uint8Array.from({ length: 256 }, (_, code) => +/[\w:/+-]/.test(String.fromCharCode(code)));

function namesIn(text: string): FoundName[] {
  return [...text.matchAll(NAMES)].map(([found]) => {
    const text = copyOf(found.slice(0, LONGEST_NAME));
    if (text.startsWith('inode://')) return { text, inode: text.slice('inode://'.length), references: [] };
    const references = text.slice('fd:'.length).split('+');
    return { text, inode: undefined, references: references.map((each) => `fd:${each}`) };
  });
}

/** V8 keeps the whole string of which another is a part. What is kept for long is copied. The text has a character for each byte. */
export function copyOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}

/** Finds the names in the messages of one direction of a call. It keeps the last characters alone, where a name may go on. */
export class MessageReader {
  readonly #onName: (name: FoundName) => void;
  /** The bytes of the head that have come, and what they tell. */
  #headBytes = 0;
  #flag = 0;
  /** The bytes of the message that are still to come. */
  #left = 0;
  /** The end of what has come of the message, which may be the beginning of a name. */
  #end = '';
  /** Whether a message was compressed, so that its names cannot be seen. */
  compressed = false;

  constructor(onName: (name: FoundName) => void) {
    this.#onName = onName;
  }

  push(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#headBytes < HEAD_BYTES) {
        this.#takeHead(bytes[at++] ?? 0);
        continue;
      }
      const piece = bytes.subarray(at, at + this.#left);
      at += piece.length;
      this.#left -= piece.length;
      if (this.#flag === 0) this.#look(piece.toString('latin1'));
      if (this.#left === 0) this.#headBytes = 0;
    }
  }

  /** The flag, and a length of four bytes. */
  #takeHead(byte: number): void {
    this.#headBytes++;
    if (this.#headBytes === 1) this.#flag = byte;
    else this.#left = this.#left * 256 + byte;
    if (this.#headBytes < HEAD_BYTES) return;
    if (this.#flag !== 0) this.compressed = true;
    if (this.#left === 0) this.#headBytes = 0;
  }

  #look(piece: string): void {
    const text = this.#end + piece;
    const end = this.#left === 0 ? text.length : startOfLastWord(text);
    for (const name of namesIn(text.slice(0, end))) this.#onName(name);
    this.#end = copyOf(text.slice(end));
  }
}

/** Where the characters begin that a name could have, at the end of the text. */
function startOfLastWord(text: string): number {
  let at = text.length;
  const first = Math.max(0, at - LONGEST_NAME);
  while (at > first && OF_NAMES[text.charCodeAt(at - 1)] === 1) at--;
  return at;
}

/** So many numbers of one value are looked at. */
export const MOST_NUMBERS = 10_000;

/** What the metadata `grpcfd-fds` of a call tells. */
export interface NamedBySequence {
  /** Undefined in what a server tells. */
  readonly connectionId?: string;
  /** The reference is undefined where it follows from the sequence number. */
  readonly names: readonly { readonly reference: string | undefined; readonly sequence: number }[];
  /** Whether the value has more than {@link MOST_NUMBERS}, which are left out. */
  readonly hasMore: boolean;
}

const ID = /^[\w-]{1,64}$/;
const COUNT = /^\d{1,15}$/;

/** The id of the connection, and the sequence number behind each reference. Undefined where the value has another form. */
export function parseRequestMetadata(value: string): NamedBySequence | undefined {
  const [first = '', ...runs] = value.split(';', MOST_NUMBERS + 2);
  const connectionId = first.replace(/!$/, '');
  if (!ID.test(connectionId)) return undefined;
  const names: { reference: string; sequence: number }[] = [];
  for (const run of runs) {
    const [id = '', number = '', sequence = '', ...inodes] = run.split('.', MOST_NUMBERS + 4);
    if (!ID.test(id) || !COUNT.test(number) || !COUNT.test(sequence)) return undefined;
    for (const index of inodes.keys()) {
      if (names.length === MOST_NUMBERS) return { connectionId, names, hasMore: true };
      names.push({
        reference: `fd:${id}:${Number(number) + index}`,
        // 0 stands for one that was not sent.
        sequence: Number(sequence) === 0 ? 0 : Number(sequence) + index,
      });
    }
  }
  return { connectionId, names, hasMore: false };
}

/** The sequence numbers of what a server sent in the call, as it answers. Undefined where the value has another form. */
export function parseResponseMetadata(value: string): NamedBySequence | undefined {
  const [, ...ranges] = value.split(';', MOST_NUMBERS + 2);
  const names: { reference: undefined; sequence: number }[] = [];
  for (const range of ranges) {
    const [, first, last = first] = /^(\d{1,15})(?:-(\d{1,15}))?$/.exec(range) ?? [];
    if (first === undefined) return undefined;
    for (let sequence = Number(first); sequence <= Number(last); sequence++) {
      if (names.length === MOST_NUMBERS) return { names, hasMore: true };
      names.push({ reference: undefined, sequence });
    }
  }
  return { names, hasMore: false };
}
