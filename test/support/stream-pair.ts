import { closeAll, native } from '#src/native/binding.js';
import { UnixStream } from '#src/socket/unix-stream.js';
import { defer } from './fd-table.js';

/** One end of a connection that keeps arriving bytes and descriptors. Descriptors that stay in `fds` are closed with it. */
export class Endpoint {
  readonly stream: UnixStream;
  fds: number[] = [];
  /** The number of descriptors of each message that had some. */
  readonly batches: number[] = [];
  readonly chunks: Buffer[] = [];
  readonly log: string[] = [];
  truncated = false;
  ended = false;
  error: NodeJS.ErrnoException | undefined;
  #waiting: (() => void)[] = [];

  constructor(fd: number) {
    this.stream = new UnixStream(fd, {
      onDescriptors: (fds, truncated) => {
        this.fds.push(...fds);
        this.batches.push(fds.length);
        this.truncated ||= truncated;
        this.#changed(`fds ${fds.length}`);
      },
      onData: (chunk) => {
        this.chunks.push(chunk);
        this.#changed(`data ${chunk.length}`);
      },
      onEnd: () => {
        this.ended = true;
        this.#changed('end');
      },
      onError: (error) => {
        this.error = error;
        this.#changed(`error ${error.code}`);
      },
    });
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  /** Resolves when something has arrived and the condition holds. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Queues a duplicate. The promise settles when the duplicate has been sent or has failed. */
  queue(fd: number): Promise<void> {
    return this.queueOwned(native.duplicate(fd));
  }

  queueOwned(fd: number): Promise<void> {
    const sent = new Promise<void>((resolve, reject) => {
      const settle = (error: Error | null) => {
        native.closeAll([fd]);
        if (error) reject(error);
        else resolve();
      };
      this.stream.queueDescriptor({ fd, settle });
    });
    sent.catch(() => {});
    return sent;
  }

  write(...pieces: (string | Uint8Array)[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const buffers = pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece) : piece));
      if (this.stream.write(buffers, (error) => (error ? reject(error) : resolve()))) resolve();
    });
  }

  shutdown(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.stream.shutdown((error) => (error ? reject(error) : resolve()));
    });
  }

  takeFds(): number[] {
    const fds = this.fds;
    this.fds = [];
    return fds;
  }

  close(): void {
    this.stream.close();
    closeAll(this.takeFds());
  }

  #changed(what: string): void {
    this.log.push(what);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** Two connected ends that read. The end of the test closes them. */
export function streamPair(): [Endpoint, Endpoint] {
  const [a, b] = native.socketPair();
  return [endpoint(a), endpoint(b)];
}

/** An end that reads from one descriptor. */
export function endpoint(fd: number): Endpoint {
  const end = new Endpoint(fd);
  defer(() => end.close());
  end.stream.readStart();
  return end;
}
