import { urlToInode } from '../descriptor/inode-url.js';
import { GrpcFdError } from '../errors.js';
import type { InodeName } from '../exchange/names.js';

/** What names a descriptor to receive: an `inode://` URL, a `ref`, or the two numbers of its inode. */
export type DescriptorSource = string | URL | { readonly dev: bigint; readonly ino: bigint };

/** The exact name of a descriptor, as it stands in a message: `fd:<id>:<number>`. */
export interface Reference {
  readonly kind: 'reference';
  /** Of credentials, for what was attached before a call started; of a connection and its sender, for all else. */
  readonly id: string;
  /** The index among what was attached, from 0; or the place among all that this end sent on the connection, from 1. */
  readonly number: number;
}

const REFERENCE = /^fd:([A-Za-z0-9_-]{1,64}):(\d{1,15})$/;

export function formatReference(id: string, number: number): string {
  return `fd:${id}:${number}`;
}

/** @throws GrpcFdError `ERR_GRPCFD_INVALID_URL`, `ERR_GRPCFD_INVALID_REFERENCE`, `ERR_GRPCFD_INVALID_ARGUMENT` */
export function parseSource(source: DescriptorSource): InodeName | Reference {
  if (typeof source === 'string' && source.startsWith('fd:')) {
    const match = REFERENCE.exec(source);
    if (match?.[1] === undefined || match[2] === undefined) {
      throw new GrpcFdError(
        'ERR_GRPCFD_INVALID_REFERENCE',
        `${JSON.stringify(source)} is not a reference fd:<id>:<number>`,
      );
    }
    return { kind: 'reference', id: match[1], number: Number(match[2]) };
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

/** A number out of range would name a file that cannot exist, and be waited for in vain. */
function isUint64(value: unknown): value is bigint {
  return typeof value === 'bigint' && BigInt.asUintN(64, value) === value;
}
