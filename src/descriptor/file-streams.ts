import { Readable, Writable } from 'node:stream';
import { anInteger, checkGrpcOptions, type RulesFor, rule } from '../checks.js';

/** The part of a file that a stream uses. */
export interface StreamableFile {
  read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number | null,
  ): Promise<{ bytesRead: number }>;
  write(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number | null,
  ): Promise<{ bytesWritten: number }>;
}

/** Options of {@link ReceivedFile.createReadStream}. */
export interface ReadStreamOptions {
  /** Position of the first byte to read. Default 0. It has no effect on a file without positions (pipe, socket, terminal). */
  readonly start?: number | undefined;
  /** Position of the last byte to read, which is included, as in `node:fs`. Default `Infinity`: up to the end of the file. */
  readonly end?: number | undefined;
  /** Bytes to read at a time. Default 65536. */
  readonly highWaterMark?: number | undefined;
}

/** Options of {@link ReceivedFile.createWriteStream}. */
export interface WriteStreamOptions {
  /** Position of the first byte to write. Default 0. It has no effect on a file without positions (pipe, socket, terminal). */
  readonly start?: number | undefined;
  /** Bytes to buffer before `write` returns false. Default: that of `node:stream`. */
  readonly highWaterMark?: number | undefined;
}

/** To `node:fs`, a negative position means the shared offset. */
const anOffset = anInteger(0);

const WRITE_RULES: RulesFor<WriteStreamOptions> = { start: anOffset, highWaterMark: anInteger(0) };

const READ_RULES: RulesFor<ReadStreamOptions> = {
  ...WRITE_RULES,
  end: rule(
    `${anOffset.wanted} or Infinity`,
    (value) => anOffset.hasType(value),
    (value) => value === Number.POSITIVE_INFINITY || anOffset.isInRange(value),
  ),
};

const READ_SIZE = 64 * 1024;

/** With `positioned`, the offset that the sender shares is neither used nor moved. */
export function readStream(file: StreamableFile, positioned: boolean, options: ReadStreamOptions): Readable {
  checkGrpcOptions(options, READ_RULES);
  const { start = 0, end = Number.POSITIVE_INFINITY, highWaterMark = READ_SIZE } = options;
  let done = 0;
  const readNext = async (size: number): Promise<Buffer | null> => {
    const length = Math.min(Math.max(size, 1), end - start + 1 - done);
    if (length <= 0) return null;
    const buffer = Buffer.allocUnsafeSlow(length);
    const { bytesRead } = await file.read(buffer, 0, length, positioned ? start + done : null);
    done += bytesRead;
    if (bytesRead === 0) return null;
    // The user may keep a short chunk for long, and must not keep the whole buffer with it.
    return bytesRead === length ? buffer : Buffer.from(buffer.subarray(0, bytesRead));
  };
  return new Readable({
    highWaterMark,
    read(size) {
      readNext(size).then(
        (chunk) => this.push(chunk),
        (error: Error) => this.destroy(error),
      );
    },
  });
}

/** With `positioned`, the offset that the sender shares is neither used nor moved. */
export function writeStream(
  file: StreamableFile,
  positioned: boolean,
  options: WriteStreamOptions,
): Writable {
  checkGrpcOptions(options, WRITE_RULES);
  const { start = 0, highWaterMark } = options;
  let position = start;
  const writeWhole = async (chunk: Buffer): Promise<void> => {
    let done = 0;
    while (done < chunk.length) {
      const length = chunk.length - done;
      const { bytesWritten } = await file.write(chunk, done, length, positioned ? position : null);
      done += bytesWritten;
      position += bytesWritten;
    }
  };
  return new Writable({
    ...(highWaterMark === undefined ? {} : { highWaterMark }),
    write(chunk: Buffer, _encoding, callback) {
      writeWhole(chunk).then(() => callback(), callback);
    },
  });
}
