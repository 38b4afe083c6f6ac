/** The names of descriptors: in the metadata of calls, and in their messages. docs/references.md describes them. */

/** A name in a message. It means the inode, or one of the references. */
export interface FoundName {
  readonly text: string;
  readonly inode: string | undefined;
  readonly references: readonly string[];
}

/** Names in longer messages are not looked for. */
const LARGEST_MESSAGE_BYTES = 4 * 1024 * 1024;
const HEAD_BYTES = 5;
const NAMES = /inode:\/\/(\d{1,20}\/\d{1,20})|fd:([\w-]{1,64}:\d{1,15}(?:\+[\w-]{1,64}:\d{1,15})*)/g;

export function namesIn(message: Buffer): FoundName[] {
  return [...message.toString('latin1').matchAll(NAMES)].map(([text, inode, references = '']) => ({
    text,
    inode,
    references: references === '' ? [] : references.split('+').map((each) => `fd:${each}`),
  }));
}

/** Finds the names in the messages of one direction of a call. */
export class MessageReader {
  readonly #onName: (name: FoundName) => void;
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** The bytes before the head of a message, or the message behind its head, is complete. */
  #needed = HEAD_BYTES;
  /** The bytes of a message that is not looked at. */
  #skip = 0;
  /** Whether a message was compressed, so that its names cannot be seen. */
  compressed = false;

  constructor(onName: (name: FoundName) => void) {
    this.#onName = onName;
  }

  push(bytes: Buffer): void {
    const skipped = Math.min(this.#skip, bytes.length);
    this.#skip -= skipped;
    if (skipped < bytes.length) this.#chunks.push(bytes.subarray(skipped));
    this.#bytes += bytes.length - skipped;
    if (this.#bytes < this.#needed) return;
    let rest = Buffer.concat(this.#chunks);
    this.#needed = HEAD_BYTES;
    while (rest.length >= HEAD_BYTES) {
      const end = HEAD_BYTES + rest.readUInt32BE(1);
      if (end > LARGEST_MESSAGE_BYTES) {
        this.#skip = Math.max(0, end - rest.length);
        rest = rest.subarray(end);
        continue;
      }
      if (rest.length < end) {
        this.#needed = end;
        break;
      }
      if (rest.readUInt8(0) !== 0) this.compressed = true;
      else for (const name of namesIn(rest.subarray(HEAD_BYTES, end))) this.#onName(name);
      rest = rest.subarray(end);
    }
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#bytes = rest.length;
  }
}

/** What the metadata `grpcfd-fds` of a call tells: the id of the connection, and the sequence number behind each reference. */
export interface NamedBySequence {
  readonly connectionId: string;
  readonly names: readonly { readonly reference: string; readonly sequence: number }[];
}

/** Undefined where the value has another form. */
export function parseRequestMetadata(value: string): NamedBySequence | undefined {
  const [first = '', ...runs] = value.split(';');
  const connectionId = first.replace(/!$/, '');
  if (!/^[\w-]{1,64}$/.test(connectionId)) return undefined;
  const names = runs.flatMap((run) => {
    const [id = '', number = '', sequence = '', ...inodes] = run.split('.');
    return inodes.map((_, index) => ({
      reference: `fd:${id}:${Number(number) + index}`,
      // 0 stands for one that was not sent.
      sequence: Number(sequence) === 0 ? 0 : Number(sequence) + index,
    }));
  });
  return { connectionId, names };
}

/** The sequence numbers of what a server sent in the call, as it answers. */
export function parseResponseMetadata(value: string): number[] {
  const [, ...ranges] = value.split(';');
  return ranges.flatMap((range) => {
    const [, first, last = first] = /^(\d{1,15})(?:-(\d{1,15}))?$/.exec(range) ?? [];
    if (first === undefined) return [];
    const count = Math.min(Number(last) - Number(first) + 1, 10_000);
    return Array.from({ length: Math.max(0, count) }, (_, index) => Number(first) + index);
  });
}
