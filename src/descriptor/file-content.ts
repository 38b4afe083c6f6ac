import { read, write } from 'node:fs';
import { constants } from 'node:os';
import { promisify } from 'node:util';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';
import type { Channel, Withdraw } from './channel.js';
import { aborted } from './ending.js';
import { type ChannelFile, needsChannel, openChannel } from './open-channel.js';

const readAsync = promisify(read);
const writeAsync = promisify(write);

const READ_FILE_CHUNK = 256 * 1024;

/**
 * Where to read or write: a position in the file; `'shared'`, the offset that all who have the open file share and move; or the position of
 * the `ReceivedFile` itself, where it is not given (or null).
 */
export type FilePosition = number | 'shared' | null;

/** A call whose end is the end of the transfers of its files. */
export interface EndingCall {
  readonly ended: boolean;
  onEnd(listener: () => void): void;
  offEnd(listener: () => void): void;
}

/** What all transfers have. */
export interface TransferOptions {
  readonly signal?: AbortSignal | undefined;
  readonly exclusive?: boolean | undefined;
}

type Settle<Result> = (error: Error | undefined, result?: Result) => void;

/** One transfer, in both ways in which it can be done. The result is a number of bytes. */
interface Transfer {
  /** Waits in epoll. */
  wait(channel: Channel, settle: Settle<number>): Withdraw;
  /** In the thread pool, at a position; null is the shared offset. */
  runAt(position: number | null): Promise<number>;
}

/** Reads and writes one file. Its descriptor is only borrowed. Positioned reads run in the thread pool, all others wait in epoll. */
export class FileContent {
  readonly #file: Omit<ChannelFile, 'fd'>;
  readonly #isBlockDevice: boolean;
  readonly #needsChannel: boolean;
  readonly #owner: object;
  #channel: Channel | undefined;
  #call: EndingCall | undefined;
  #position = 0;
  /** Those who use the position of the file itself take turns. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor({ fd, ...file }: ChannelFile, isBlockDevice: boolean, owner: object) {
    this.#file = file;
    this.#needsChannel = needsChannel(file.kind, isBlockDevice, fd);
    this.#isBlockDevice = isBlockDevice;
    this.#owner = owner;
  }

  /** From the end of `call` on, nothing is read from or written to a file that could make it wait. */
  endWith(call: EndingCall): void {
    if (this.#needsChannel) this.#call = call;
  }

  /** The call whose end ends the transfers. */
  get call(): EndingCall | undefined {
    return this.#call;
  }

  /** Fails what waits. */
  end(error: Error): void {
    this.#channel?.end(error);
    this.#call?.offEnd(this.#onCallEnd);
  }

  read(fd: number, into: Uint8Array, position: FilePosition, options: TransferOptions): Promise<number> {
    return this.#transfer('read', fd, position, options, {
      wait: (channel, settle) => channel.read(into, settle),
      runAt: async (at) => (await readAsync(fd, into, 0, into.length, at)).bytesRead,
    });
  }

  write(fd: number, bytes: Uint8Array, position: FilePosition, options: TransferOptions): Promise<number> {
    return this.#transfer('write', fd, position, options, {
      wait: (channel, settle) => channel.write(bytes, settle),
      runAt: async (at) => (await writeAsync(fd, bytes, 0, bytes.length, at)).bytesWritten,
    });
  }

  /** From the first byte, where there are positions, to the end. */
  async readAll(fd: number, maxBytes: number, options: TransferOptions): Promise<Buffer> {
    const { signal } = options;
    const channel = this.channel(fd, options);
    const chunks: Buffer[] = [];
    let length = 0;
    for (;;) {
      throwIfAborted(signal, this.#file.url);
      const chunk =
        channel === undefined
          ? await this.#readChunk(fd, this.isPositioned ? length : null)
          : await this.#wait<Buffer>(signal, (settle) => channel.readChunk(READ_FILE_CHUNK, settle));
      if (chunk.length === 0) return Buffer.concat(chunks, length);
      length += chunk.length;
      if (length > maxBytes) throw this.#tooLarge(maxBytes);
      chunks.push(chunk);
    }
  }

  /** Whether bytes have positions. Those of a character device have none, and neither have those of what needs a channel. */
  get isPositioned(): boolean {
    const { kind } = this.#file;
    return !this.#needsChannel && (kind !== 'device' || this.#isBlockDevice);
  }

  /**
   * What reads and writes a file without positions, without waiting in a thread; undefined where that is not needed.
   *
   * @throws GrpcFdError `ERR_GRPCFD_WOULD_BLOCK`, `ERR_GRPCFD_CALL_ENDED`
   */
  channel(fd: number, { exclusive = false }: TransferOptions): Channel | undefined {
    if (!this.#needsChannel) return undefined;
    if (this.#call?.ended === true) throw this.#callEnded();
    if (this.#channel === undefined) {
      this.#channel = openChannel({ ...this.#file, fd }, this.#owner, exclusive);
      this.#call?.onEnd(this.#onCallEnd);
    } else if (exclusive) {
      this.#channel.useExclusively();
    }
    return this.#channel;
  }

  readonly #onCallEnd = (): void => this.end(this.#callEnded());

  #callEnded(): GrpcFdError {
    return new GrpcFdError(
      'ERR_GRPCFD_CALL_ENDED',
      `the call that ${this.#file.url} came with has ended, and with it what reads or writes the file: duplicate() in the call gives one that goes on`,
    );
  }

  async #transfer(
    syscall: string,
    fd: number,
    position: FilePosition,
    options: TransferOptions,
    { wait, runAt }: Transfer,
  ): Promise<number> {
    const { signal } = options;
    throwIfAborted(signal, this.#file.url);
    const channel = this.channel(fd, options);
    if (channel === undefined) return this.#at(position, runAt);
    if (typeof position === 'number') throw native.systemError(constants.errno.ESPIPE, syscall);
    return this.#wait(signal, (settle) => wait(channel, settle));
  }

  /** Runs a transfer of the thread pool at a position, or at that of the file itself, which moves. */
  #at(position: FilePosition, transfer: (at: number | null) => Promise<number>): Promise<number> {
    if (position === 'shared' || !this.isPositioned)
      return transfer(typeof position === 'number' ? position : null);
    if (position !== null) return transfer(position);
    const result = this.#turn.then(async () => {
      const bytes = await transfer(this.#position);
      this.#position += bytes;
      return bytes;
    });
    this.#turn = result.catch(() => {});
    return result;
  }

  async #readChunk(fd: number, position: number | null): Promise<Buffer> {
    const chunk = Buffer.allocUnsafeSlow(READ_FILE_CHUNK);
    const { bytesRead } = await readAsync(fd, chunk, 0, chunk.length, position);
    return chunk.subarray(0, bytesRead);
  }

  #wait<Result>(
    signal: AbortSignal | undefined,
    start: (settle: Settle<Result>) => Withdraw,
  ): Promise<Result> {
    return new Promise((resolve, reject) => {
      let withdraw: Withdraw | undefined;
      const onAbort = () => {
        withdraw?.();
        reject(aborted(`reading or writing ${this.#file.url}`, signal));
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      withdraw = start((error, result) => {
        signal?.removeEventListener('abort', onAbort);
        if (error === undefined) resolve(result as Result);
        else reject(error);
      });
    });
  }

  #tooLarge(maxBytes: number): GrpcFdError {
    return new GrpcFdError('ERR_GRPCFD_FILE_TOO_LARGE', `${this.#file.url} has more than ${maxBytes} bytes`);
  }
}

function throwIfAborted(signal: AbortSignal | undefined, name: string): void {
  if (signal?.aborted === true) throw aborted(`reading or writing ${name}`, signal);
}
