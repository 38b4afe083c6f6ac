import { type DevIno, urlToInode } from '../descriptor/inode-url.js';
import { quotePeerText } from '../error-text.js';
import { GrpcFdError } from '../errors.js';
import type { InodeName } from '../inbox/names.js';

/** Names a descriptor to receive: an `inode://` URL, a reference (`ref`), or the two numbers of its inode. */
export type DescriptorSource = string | URL | DevIno;

/** The exact name of a descriptor, in a message: `fd:<id>:<number>`. */
export interface Reference {
  readonly kind: 'reference';
  /** The id of the credentials, for a descriptor that was attached before its call started; otherwise that of a connection and its sender. */
  readonly id: string;
  /** The index among the descriptors attached to the credentials, from 0; otherwise the sequence number on the connection, from 1. */
  readonly number: number;
}

const PREFIX = 'fd:';
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

export function formatReference(id: string, number: number): string {
  return `${PREFIX}${id}:${number}`;
}

/** @throws GrpcFdError `ERR_GRPCFD_INVALID_URL`, `ERR_GRPCFD_INVALID_REFERENCE`, `ERR_GRPCFD_INVALID_ARGUMENT` */
export function parseSource(source: DescriptorSource): InodeName | Reference {
  if (typeof source === 'string' && source.startsWith(PREFIX)) {
    const end = source.lastIndexOf(':');
    const id = source.slice(PREFIX.length, end);
    const number = source.slice(end + 1);
    if (!isId(id) || !isCount(number)) {
      throw new GrpcFdError(
        'ERR_GRPCFD_INVALID_REFERENCE',
        `${quotePeerText(source)} is not a reference fd:<id>:<number>`,
      );
    }
    return { kind: 'reference', id, number: Number(number) };
  }
  if (typeof source === 'string' || source instanceof URL) {
    return { kind: 'inode', inode: urlToInode(source) };
  }
  if (isUint64(source?.dev) && isUint64(source.ino)) {
    return { kind: 'inode', inode: `${source.dev}/${source.ino}` };
  }
  throw new GrpcFdError(
    'ERR_GRPCFD_INVALID_ARGUMENT',
    'a descriptor is received by an inode:// URL, a ref, or { dev, ino } as unsigned 64-bit bigints',
  );
}

/** A number out of range names a file that cannot exist. A receive of it would wait until its end. */
function isUint64(value: unknown): value is bigint {
  return typeof value === 'bigint' && BigInt.asUintN(64, value) === value;
}
