import {
  aBoolean,
  aLimit,
  anAbortSignal,
  anInteger,
  check,
  checkGrpcOptions,
  grpcComplaint,
  type RulesFor,
  rule,
} from '../checks.js';
import type { FilePosition, TransferOptions } from './file-content.js';

/** Options of {@link ReceivedFile.readFile}. */
export interface ReadFileOptions {
  /** The encoding of the string that is wanted. Default: the result is a Buffer. */
  readonly encoding?: BufferEncoding | undefined;
  /**
   * The longest file to read, in bytes. A longer one fails with `ERR_GRPCFD_FILE_TOO_LARGE`: the peer decides how long a file gets.
   * Default 2^31-1, as in `node:fs`. `Infinity` switches the limit off.
   */
  readonly maxBytes?: number | undefined;
  /** When it aborts, the read fails with `ERR_GRPCFD_ABORTED`, whose `cause` is the reason of the signal. Default: none. */
  readonly signal?: AbortSignal | undefined;
  /** See {@link FileReadOptions.exclusive}. Default: false. */
  readonly exclusive?: boolean | undefined;
}

/** Options of {@link ReceivedFile.read} and {@link ReceivedFile.write}. */
export interface FileReadOptions {
  /** Index in the buffer of the first byte. Default: 0. */
  readonly offset?: number | undefined;
  /** In bytes. Default: what the buffer has behind `offset`. */
  readonly length?: number | undefined;
  /**
   * Position in the file of the first byte, or `'shared'` for the offset that all share who have the open file. Default: null, where the last
   * `read` or `write` without a position ended.
   */
  readonly position?: FilePosition | undefined;
  /**
   * When it aborts, the transfer fails with `ERR_GRPCFD_ABORTED`, whose `cause` is the reason of the signal. One that runs in the thread
   * pool, as on regular files, is not interrupted. Default: none.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * Nobody else reads or writes the open file, so it may be made non-blocking, for all who have it, for good. Some files cannot be
   * waited for otherwise: the master of a pseudoterminal, serial lines, inotify and signalfd. Default: false, these fail with
   * `ERR_GRPCFD_WOULD_BLOCK`.
   */
  readonly exclusive?: boolean | undefined;
}

/** The result of {@link ReceivedFile.read}. */
export interface FileRead<Target> {
  /** How many bytes were read. 0 at the end of the file. */
  readonly bytesRead: number;
  /** The buffer that was given. */
  readonly buffer: Target;
}

/** The result of {@link ReceivedFile.write}. */
export interface FileWritten<Source> {
  /** How many bytes were written. */
  readonly bytesWritten: number;
  /** The buffer that was given. */
  readonly buffer: Source;
}

/** The options that all transfers have, in streams, too. */
export const TRANSFER_RULES: RulesFor<TransferOptions> = { signal: anAbortSignal, exclusive: aBoolean };

/** To `node:fs`, a negative position means the shared offset. */
export const anOffset = anInteger(0);

/** Up to there, or without a limit. */
export const anEnd = rule(
  `${anOffset.wanted} or Infinity`,
  aLimit.hasType,
  (value) => value === Number.POSITIVE_INFINITY || anOffset.isInRange(value),
);

const READ_FILE_RULES: RulesFor<ReadFileOptions> = {
  ...TRANSFER_RULES,
  encoding: rule(
    'an encoding of Buffer',
    (value) => typeof value === 'string',
    (value) => Buffer.isEncoding(String(value)),
  ),
  maxBytes: anEnd,
};

/** To `node:fs`, other values mean the shared offset, some of them in silence. */
const aPosition = rule(
  "null or an integer of at least 0, or 'shared'",
  (value) => value === null || value === 'shared' || typeof value === 'number',
  (value) => typeof value !== 'number' || anOffset.isInRange(value),
);

const FILE_READ_RULES: RulesFor<FileReadOptions> = {
  ...TRANSFER_RULES,
  offset: anOffset,
  length: anOffset,
  position: aPosition,
};

const aBuffer = rule('a Buffer, TypedArray or DataView', ArrayBuffer.isView);

const READ_FILE_MAX_BYTES = 2 ** 31 - 1;

/** @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` */
export function checkReadFileOptions(
  options: BufferEncoding | ReadFileOptions,
): ReadFileOptions & { readonly maxBytes: number } {
  const checked: ReadFileOptions = typeof options === 'string' ? { encoding: options } : options;
  checkGrpcOptions(checked, READ_FILE_RULES);
  return { ...checked, maxBytes: checked.maxBytes ?? READ_FILE_MAX_BYTES };
}

/**
 * The part of a buffer to read into or to write, and how. The arguments are those of {@link ReceivedFile.read}.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`
 */
export function checkTransfer(
  buffer: NodeJS.ArrayBufferView,
  given: number | FileReadOptions | undefined,
  ...[length, position]: [number | undefined, FilePosition | undefined]
): TransferOptions & { readonly bytes: Uint8Array; readonly position: FilePosition } {
  check(grpcComplaint, 'buffer', buffer, aBuffer);
  const options = typeof given === 'object' ? given : { offset: given, length, position };
  checkGrpcOptions(options, FILE_READ_RULES);
  const { offset = 0 } = options;
  check(grpcComplaint, 'offset', offset, anInteger(0, buffer.byteLength));
  const room = buffer.byteLength - offset;
  const wanted = options.length ?? room;
  check(grpcComplaint, 'length', wanted, anInteger(0, room));
  const bytes = new Uint8Array(buffer.buffer, buffer.byteOffset + offset, wanted);
  return { bytes, position: options.position ?? null, signal: options.signal, exclusive: options.exclusive };
}
