import { quotePeerText } from '../error-text.js';
import { GrpcFdError } from '../errors.js';
import type { Inode } from '../inbox/names.js';
import { native } from '../native/binding.js';
import { openFile } from './open-file.js';

/** The two numbers of an `inode://` URL, 64 bits each. */
export interface DevIno {
  /** `st_dev`: the device that the file is on. */
  readonly dev: bigint;
  /** `st_ino`: the inode of the file on its device. */
  readonly ino: bigint;
}

const MAX_UINT64 = 2n ** 64n - 1n;

/** The digits of the path may be percent-encoded, as the Go package allows. */
const INODE_URL = /^inode:\/\/([0-9]+)\/((?:[0-9]|%3[0-9])+)$/i;

/** The form that this package and the Go package make: the {@link Inode} follows the scheme. Numbers of 19 digits are below 2^64. */
const CANONICAL_URL = /^inode:\/\/((?:0|[1-9]\d{0,18})\/(?:0|[1-9]\d{0,18}))$/;

/** `inode://<dev>/<ino>`, in decimal. */
export function devInoToUrl({ dev, ino }: DevIno): string {
  return `inode://${dev}/${ino}`;
}

export function inodeToUrl(inode: Inode): string {
  return `inode://${inode}`;
}

/**
 * The URL that names the open file `fd` to a peer. `fd` stays the caller's.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` when `fd` is not an open descriptor
 */
export function fdToUrl(fd: number): string {
  return inodeToUrl(fdToInode(fd));
}

/**
 * {@link fdToUrl} for an object with an `fd`: a `FileHandle`, a `ReceivedFile`. The file stays the caller's.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`
 */
export function fileToUrl(file: { readonly fd: number }): string {
  return fdToUrl(file?.fd);
}

/**
 * The URL of the file at `path`, which `sendFilename(path)` would send. Symlinks are followed, and so are the links in /proc. No
 * permission on the file itself is needed.
 *
 * @throws GrpcFdError `ERR_GRPCFD_OPEN_FAILED`, `ERR_GRPCFD_INVALID_ARGUMENT`
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
 * Reads an `inode://<dev>/<ino>` URL. Like the Go package, it allows the scheme in upper or lower case, leading zeros, and
 * percent-encoded digits in the path. Unlike the Go package, which ignores them, it refuses user names, queries and fragments.
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

/** {@link urlToDevIno}, in the form in which files are looked up. */
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
    throw notOpen(fd, cause);
  }
}

function parseUint64(digits: string, url: string): bigint {
  // The length is checked first: the time that BigInt() takes grows faster than the number of digits.
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
  return new GrpcFdError('ERR_GRPCFD_INVALID_URL', `${quotePeerText(url)} does not name a file: ${fault}`);
}

function notOpen(fd: number, cause?: unknown): GrpcFdError {
  if (cause instanceof GrpcFdError) return cause;
  return new GrpcFdError(
    'ERR_GRPCFD_INVALID_ARGUMENT',
    `${quotePeerText(fd)} is not an open file descriptor`,
    { cause },
  );
}
