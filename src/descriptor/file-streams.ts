import { Readable, Writable } from 'node:stream';
import { anInteger, checkGrpcOptions, type RulesFor } from '../checks.js';
import type { Channel, Withdraw } from './channel.js';
import type { FilePosition } from './file-content.js';
import { anEnd, anOffset, TRANSFER_RULES } from './file-options.js';

/** The part of a file that a stream uses. */
export interface StreamableFile {
  read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: FilePosition,
  ): Promise<{ bytesRead: number }>;
  write(
    buffer: Buffer,
    offset: number,
    length: number,
    position: FilePosition,
  ): Promise<{ bytesWritten: number }>;
}

/** Options of the streams of a file. */
export interface FileStreamOptions {
  /** Position of the first byte. Default 0. It has no effect on a file without positions (pipe, socket, terminal). */
  readonly start?: number | undefined;
  /** When it aborts, the stream is destroyed with an `AbortError`, as in `node:stream`. Default: none. */
  readonly signal?: AbortSignal | undefined;
  /** For a file that others do not use: see {@link FileReadOptions.exclusive}. Default: false. */
  readonly exclusive?: boolean | undefined;
}

/** Options of {@link ReceivedFile.createReadStream}. */
export interface ReadStreamOptions extends FileStreamOptions {
  /** Position of the last byte to read, which is included, as in `node:fs`. Default `Infinity`: up to the end of the file. */
  readonly end?: number | undefined;
  /** Bytes to read at a time. Default 65536. */
  readonly highWaterMark?: number | undefined;
}

/** Options of {@link ReceivedFile.createWriteStream}. */
export interface WriteStreamOptions extends FileStreamOptions {
  /** Bytes to buffer before `write` returns false. Default: that of `node:stream`. */
  readonly highWaterMark?: number | undefined;
}

const WRITE_RULES: RulesFor<WriteStreamOptions> = {
  ...TRANSFER_RULES,
  start: anOffset,
  highWaterMark: anInteger(0),
};

const READ_RULES: RulesFor<ReadStreamOptions> = { ...WRITE_RULES, end: anEnd };

const READ_SIZE = 64 * 1024;

/** @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` */
export function checkReadStreamOptions(options: ReadStreamOptions): void {
  checkGrpcOptions(options, READ_RULES);
}

/** @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` */
export function checkWriteStreamOptions(options: WriteStreamOptions): void {
  checkGrpcOptions(options, WRITE_RULES);
}

/** With `positioned`, the offset that the sender shares is neither used nor moved. */
export function readStream(file: StreamableFile, positioned: boolean, options: ReadStreamOptions): Readable {
  const { start = 0 } = options;
  let done = 0;
  const readNext = async (length: number): Promise<Buffer> => {
    const buffer = Buffer.allocUnsafeSlow(length);
    const { bytesRead } = await file.read(buffer, 0, length, positioned ? start + done : 'shared');
    done += bytesRead;
    // The user may keep a short chunk for long, and must not keep the whole buffer with it.
    return bytesRead === length ? buffer : Buffer.from(buffer.subarray(0, bytesRead));
  };
  return readable(options, (length, settle) => {
    readNext(length).then((chunk) => settle(undefined, chunk), settle);
    return () => {};
  });
}

/** With `positioned`, the offset that the sender shares is neither used nor moved. */
export function writeStream(
  file: StreamableFile,
  positioned: boolean,
  options: WriteStreamOptions,
): Writable {
  let { start: position = 0 } = options;
  const writeNext = async (rest: Buffer): Promise<number> => {
    const { bytesWritten } = await file.write(rest, 0, rest.length, positioned ? position : 'shared');
    position += bytesWritten;
    return bytesWritten;
  };
  return writable(options, (rest, settle) => {
    writeNext(rest).then((bytes) => settle(undefined, bytes), settle);
    return () => {};
  });
}

/** For a file without positions. */
export function channelReadStream(channel: Channel, options: ReadStreamOptions): Readable {
  return readable(options, (length, settle) => channel.readChunk(length, settle));
}

/** For a file without positions. The end of the stream ends the writing side of a socket. */
export function channelWriteStream(channel: Channel, options: WriteStreamOptions): Writable {
  return writable(
    options,
    (rest, settle) => channel.write(rest, settle),
    () => channel.endWriting(),
  );
}

type Settle<Result> = (error: Error | undefined, result?: Result) => void;

function readable(
  { start = 0, end = Number.POSITIVE_INFINITY, highWaterMark = READ_SIZE, signal }: ReadStreamOptions,
  readNext: (length: number, settle: Settle<Buffer>) => Withdraw,
): Readable {
  let left = end - start + 1;
  let withdraw: Withdraw | undefined;
  return new Readable({
    highWaterMark,
    ...(signal === undefined ? {} : { signal }),
    read(size) {
      const length = Math.min(Math.max(size, 1), left);
      if (length <= 0) {
        this.push(null);
        return;
      }
      withdraw = readNext(length, (error, chunk) => {
        if (error !== undefined) this.destroy(error);
        else if (chunk === undefined || chunk.length === 0) this.push(null);
        else {
          left -= chunk.length;
          this.push(chunk);
        }
      });
    },
    destroy(error, callback) {
      withdraw?.();
      callback(error);
    },
  });
}

function writable(
  { highWaterMark, signal }: WriteStreamOptions,
  writeNext: (rest: Buffer, settle: Settle<number>) => Withdraw,
  end?: () => void,
): Writable {
  let withdraw: Withdraw | undefined;
  const writeWhole = (rest: Buffer, callback: (error?: Error) => void): void => {
    if (rest.length === 0) {
      callback();
      return;
    }
    withdraw = writeNext(rest, (error, bytes = 0) => {
      if (error === undefined) writeWhole(rest.subarray(bytes), callback);
      else callback(error);
    });
  };
  return new Writable({
    ...(highWaterMark === undefined ? {} : { highWaterMark }),
    ...(signal === undefined ? {} : { signal }),
    write(chunk: Buffer, _encoding, callback) {
      writeWhole(chunk, callback);
    },
    final(callback) {
      try {
        end?.();
        callback();
      } catch (error) {
        callback(error as Error);
      }
    },
    destroy(error, callback) {
      withdraw?.();
      callback(error);
    },
  });
}
