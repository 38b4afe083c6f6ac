import { type DevIno, urlToInode } from '../descriptor/inode-url.js';
import { quotePeerText } from '../error-text.js';
import { GrpcFdError } from '../errors.js';
import type { InodeName } from '../inbox/names.js';

/** Names a descriptor to receive: an `inode://` URL, a reference (`ref`), or the two numbers of its inode. */
export type DescriptorSource = string | URL | DevIno;

/**
 * The exact name of a descriptor, in a message: `fd:<id>:<number>`. What was sent while a call had several attempts has a name for each of
 * them: `fd:<id>:<number>+<id>:<number>…`.
 */
export interface Reference extends ReferenceParts {
  readonly kind: 'reference';
  /** Its other names. */
  readonly others?: readonly Reference[];
}

/** One name in a {@link Reference}. */
export interface ReferenceParts {
  /** The id of the credentials, for a descriptor that was attached before its call started; otherwise that of a connection and its sender. */
  readonly id: string;
  /** The index among the descriptors attached to the credentials, from 0; otherwise the sequence number on the connection, from 1. */
  readonly number: number;
}

const PREFIX = 'fd:';
const SEPARATOR = '+';
/** A call has at most five attempts at a time, and credentials are seldom used for more than one call at a time. */
const MAX_NAMES = 64;
const MAX_ID_LENGTH = 64;
/** A number with so many digits is a safe integer, and so is the sum of two of them. */
const MAX_COUNT_DIGITS = 15;
const ID = /^[\w-]+$/;
const DIGITS = /^\d+$/;

// One regular expression for a whole name would need counted repeats. V8 unrolls them into code that takes longer, for each descriptor,
// than all the rest of its receive. So lengths are compared instead.

export function isId(text: string): boolean {
  return text.length <= MAX_ID_LENGTH && ID.test(text);
}

export function isCount(text: string): boolean {
  return text.length <= MAX_COUNT_DIGITS && DIGITS.test(text);
}

export function formatReference(id: string, number: number, others: readonly ReferenceParts[] = []): string {
  let text = `${PREFIX}${id}:${number}`;
  for (const other of others) text += `${SEPARATOR}${other.id}:${other.number}`;
  return text;
}

/** @throws GrpcFdError `ERR_GRPCFD_INVALID_URL`, `ERR_GRPCFD_INVALID_REFERENCE`, `ERR_GRPCFD_INVALID_ARGUMENT` */
export function parseSource(source: DescriptorSource): InodeName | Reference {
  if (typeof source === 'string' && source.startsWith(PREFIX)) {
    const reference = source.includes(SEPARATOR)
      ? parseNames(source.slice(PREFIX.length).split(SEPARATOR, MAX_NAMES + 1))
      : parseName(source, PREFIX.length);
    if (reference !== undefined) return reference;
    throw new GrpcFdError(
      'ERR_GRPCFD_INVALID_REFERENCE',
      `${quotePeerText(source)} is not a reference fd:<id>:<number>`,
    );
  }
  if (typeof source === 'string' || source instanceof URL) {
    return { kind: 'inode', inode: urlToInode(source) };
  }
  if (isUint64(source?.dev) && isUint64(source.ino)) {
    return { kind: 'inode', inode: `${source.dev}/${source.ino}` };
  }
  throw new GrpcFdError(
    'ERR_GRPCFD_INVALID_ARGUMENT',
    `a descriptor is received by an inode:// URL, a ref, or { dev, ino } as unsigned 64-bit bigints, not by ${quotePeerText(source)}`,
  );
}

function parseName(text: string, start = 0): Reference | undefined {
  const end = text.lastIndexOf(':');
  const id = text.slice(start, end);
  const number = text.slice(end + 1);
  return isId(id) && isCount(number) ? { kind: 'reference', id, number: Number(number) } : undefined;
}

function parseNames(texts: readonly string[]): Reference | undefined {
  if (texts.length > MAX_NAMES) return undefined;
  const names = texts.map((text) => parseName(text));
  const [first, ...others] = names.filter((name) => name !== undefined);
  return first === undefined || others.length + 1 < names.length ? undefined : { ...first, others };
}

/** A number out of range names a file that cannot exist. A receive of it would wait until its end. */
function isUint64(value: unknown): value is bigint {
  return typeof value === 'bigint' && BigInt.asUintN(64, value) === value;
}
