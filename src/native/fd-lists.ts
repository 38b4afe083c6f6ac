/** The functions of the addon that use memory of JavaScript: lists of descriptors, and what it tells about one. */
import { type Description, FILE_KINDS, type Look, type NamedFd, SOCKETS } from './file-types.js';

/** The functions of the addon. They use the first `count` elements of each list. */
export interface ListFunctions {
  closeAll(fds: Int32Array, count: number): void;
  unguardAll(fds: Int32Array, count: number): void;
  /** Replaces the descriptors in the list with their duplicates. */
  duplicateAll(fds: Int32Array, count: number): void;
  identify(fds: Int32Array, count: number, identities: BigUint64Array): void;
  /** Replaces each descriptor in the list with one of `SOCKETS`. */
  look(fds: Int32Array, count: number, identities: BigUint64Array): void;
  /** Fills `identity` with device and inode. */
  duplicateToSend(fd: number, identity: BigUint64Array): number;
  /** Writes five numbers: see native/file-kind.cc. */
  describe(fd: number, into: BigUint64Array): void;
}

/** The same functions for the layers above. They are documented in `types.ts`. */
export interface ArrayFunctions {
  closeAll(fds: readonly number[]): void;
  unguardAll(fds: readonly number[]): void;
  duplicateAll(fds: readonly number[]): number[];
  identify(fds: readonly number[]): BigUint64Array;
  look(fds: readonly number[]): Look[];
  duplicateToSend(fd: number): NamedFd;
  inode(fd: number): string;
  describe(fd: number): Description;
}

/** SCM_MAX_FD: the most descriptors in one message. */
const USUAL_LENGTH = 253;

/**
 * All calls of the thread give the addon the same memory. For an ordinary array, the addon would need two calls into the engine for each
 * element. A new typed array for each call would be expensive to collect.
 */
let list = new Int32Array(USUAL_LENGTH);
let identities = new BigUint64Array(2 * USUAL_LENGTH);
/** Low ones first on x64 and arm64. They are read without the cost of two bigints. */
let halves = new Uint32Array(identities.buffer);
const [KIND, FLAGS, MAJOR, MINOR] = [4, 6, 8, 9] as const;
/** With a lower upper half, a value of 64 bits is a safe integer. */
const UNSAFE_HIGH = 2 ** 21;

export function withArrays(addon: ListFunctions): ArrayFunctions {
  return {
    closeAll(fds) {
      addon.closeAll(packFds(fds), fds.length);
    },
    unguardAll(fds) {
      addon.unguardAll(packFds(fds), fds.length);
    },
    duplicateAll(fds) {
      const packed = packFds(fds);
      addon.duplicateAll(packed, fds.length);
      return unpackFds(packed, 0, fds.length);
    },
    identify(fds) {
      const packed = packFds(fds);
      makeRoomFor(fds.length);
      addon.identify(packed, fds.length, identities);
      return identities.slice(0, 2 * fds.length);
    },
    look(fds) {
      const packed = packFds(fds);
      makeRoomFor(fds.length);
      addon.look(packed, fds.length, identities);
      return fds.map((fd, index) => ({ fd, inode: inodeAt(index), socket: packed[index] ?? SOCKETS.NONE }));
    },
    inode(fd) {
      addon.identify(packFds([fd]), 1, identities);
      return inodeAt(0);
    },
    duplicateToSend(fd) {
      return { fd: addon.duplicateToSend(fd, identities), inode: inodeAt(0) };
    },
    describe(fd) {
      addon.describe(fd, identities);
      const minor = halves[MINOR] ?? 0;
      return {
        inode: inodeAt(0),
        kind: FILE_KINDS[halves[KIND] ?? 0] ?? 'unknown',
        flags: halves[FLAGS] ?? 0,
        device: [halves[MAJOR] ?? 0, minor & 0x7fff_ffff],
        isBlockDevice: minor >= 2 ** 31,
      };
    },
  };
}

/** The result is valid until the next call of a function here. Wrong numbers throw: rounded, NaN, 0.5 and 2^32 would all be descriptor 0. */
export function packFds(fds: readonly number[]): Int32Array {
  if (!Array.isArray(fds)) throw invalid('descriptors must be an array');
  if (list.length < fds.length) list = new Int32Array(fds.length);
  for (let index = 0; index < fds.length; index++) {
    const fd: unknown = fds[index];
    if (typeof fd !== 'number' || (fd | 0) !== fd) throw invalid('a descriptor must be a 32-bit integer');
    list[index] = fd;
  }
  return list;
}

/** The elements of a typed array from `start` up to, not including, `end`, in an ordinary array, which is cheaper to make. */
export function unpackFds(from: Int32Array, start: number, end: number): number[] {
  const fds: number[] = [];
  for (let index = start; index < end; index++) fds.push(from[index] ?? -1);
  return fds;
}

function makeRoomFor(count: number): void {
  if (identities.length >= 2 * count) return;
  identities = new BigUint64Array(2 * count);
  halves = new Uint32Array(identities.buffer);
}

/** Of the descriptor at that place in the list. */
function inodeAt(index: number): string {
  return `${decimal(2 * index)}/${decimal(2 * index + 1)}`;
}

function decimal(index: number): number | bigint {
  const low = halves[2 * index] ?? 0;
  const high = halves[2 * index + 1] ?? 0;
  return high < UNSAFE_HIGH ? high * 2 ** 32 + low : (identities[index] ?? 0n);
}

function invalid(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_TYPE' });
}
