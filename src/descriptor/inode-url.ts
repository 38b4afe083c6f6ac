import { quotePeerText } from '../error-text.js';
import { GrpcFdError } from '../errors.js';
import type { Inode } from '../inbox/names.js';
import { native } from '../native/binding.js';
import { openFile } from './open-file.js';

/** What an `inode://` URL says: `st_dev` and `st_ino`, 64 bits each. */
export interface DevIno {
  readonly dev: bigint;
  readonly ino: bigint;
}

const MAX_UINT64 = 2n ** 64n - 1n;

/** The path percent-encoded, as the Go package takes it; only digits can follow from that. */
const INODE_URL = /^inode:\/\/([0-9]+)\/((?:[0-9]|%3[0-9])+)$/i;

/** As all that this package and the Go package make are: what stands behind the scheme is the {@link Inode}. Below 10^19, so below 2^64. */
const CANONICAL_URL = /^inode:\/\/((?:0|[1-9]\d{0,18})\/(?:0|[1-9]\d{0,18}))$/;

/** `inode://<dev>/<ino>`, in decimal. */
export function devInoToUrl({ dev, ino }: DevIno): string {
  return `inode://${dev}/${ino}`;
}

export function inodeToUrl(inode: Inode): string {
  return `inode://${inode}`;
}

/**
 * The URL by which a peer finds this open file. `fd` stays the caller's.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` when `fd` is not an open descriptor.
 */
export function fdToUrl(fd: number): string {
  return inodeToUrl(fdToInode(fd));
}

/** The same for anything that has an `fd`: a `FileHandle`, a `ReceivedFile`. The file stays the caller's. */
export function fileToUrl(file: { readonly fd: number }): string {
  return fdToUrl(file?.fd);
}

/**
 * The URL of what sending this file name would send: symlinks are followed, and so are the links in /proc.
 * Needs no permission on the file itself.
 *
 * @throws GrpcFdError `ERR_GRPCFD_OPEN_FAILED`, `ERR_GRPCFD_INVALID_ARGUMENT`.
 */
export function filenameToUrl(path: string): string {
  const fd = openFile(path, native.O_PATH);
  try {
    return fdToUrl(fd);
  } finally {
    native.close(fd);
  }
}

/**
 * Reads an `inode://<dev>/<ino>` URL. Takes what the Go package takes: the scheme in any case, leading zeros,
 * percent-encoded digits in the path. It ignores user names, queries and fragments; no one writes them, so
 * here they are refused.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_URL`
 */
export function urlToDevIno(url: string | URL): DevIno {
  const text = String(url);
  const match = INODE_URL.exec(text);
  const [, dev, ino] = match ?? [];
  if (dev === undefined || ino === undefined) throw invalidUrl(text, describeFault(text));
  return { dev: parseUint64(dev, text), ino: parseUint64(decodeURIComponent(ino), text) };
}

/** {@link urlToDevIno}, as the name by which a file is looked up. */
export function urlToInode(url: string | URL): Inode {
  const [, inode] = CANONICAL_URL.exec(String(url)) ?? [];
  if (inode !== undefined) return inode;
  const { dev, ino } = urlToDevIno(url);
  return `${dev}/${ino}`;
}

/** @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` */
function fdToInode(fd: number): Inode {
  if (!Number.isInteger(fd) || fd < 0) throw notOpen(fd);
  try {
    return native.inode(fd);
  } catch (cause) {
    throw notOpen(fd, { cause });
  }
}

function parseUint64(digits: string, url: string): bigint {
  // Measured first: turning digits into a bigint takes time that grows faster than their number.
  const significant = digits.replace(/^0+(?=.)/, '');
  const value = significant.length <= 20 ? BigInt(significant) : MAX_UINT64 + 1n;
  if (value > MAX_UINT64) throw invalidUrl(url, 'a number in it is above 2^64-1');
  return value;
}

function describeFault(url: string): string {
  if (url === '') return 'it is empty: was the field of the message set?';
  if (!/^inode:/i.test(url)) return 'its scheme is not "inode"';
  if (/[?#]/.test(url)) return 'it has a query or a fragment';
  return 'it is not inode://<dev>/<ino> with two unsigned decimal numbers';
}

function invalidUrl(url: string, fault: string): GrpcFdError {
  return new GrpcFdError('ERR_GRPCFD_INVALID_URL', `${quotePeerText(url)} names no file: ${fault}`);
}

function notOpen(fd: number, options?: ErrorOptions): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_INVALID_ARGUMENT',
    `${quotePeerText(fd)} is not an open file descriptor`,
    options,
  );
}
