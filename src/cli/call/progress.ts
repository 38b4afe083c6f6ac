import { Transform, type TransformCallback } from 'node:stream';

const FIRST_MS = 500;
const EACH_MS = 200;
const CLEAR = '\r\x1b[K';

/** Passes bytes on, and tells on a terminal how far a long transfer is. */
export class Progress extends Transform {
  readonly #label: string;
  readonly #total: number | undefined;
  #bytes = 0;
  #next = performance.now() + FIRST_MS;
  #shown = false;

  constructor(label: string, total: number | undefined) {
    super();
    this.#label = label;
    this.#total = total;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.#bytes += chunk.length;
    if (process.stderr.isTTY && performance.now() >= this.#next) this.#show();
    callback(null, chunk);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (this.#shown) process.stderr.write(CLEAR);
    callback(error);
  }

  #show(): void {
    this.#next = performance.now() + EACH_MS;
    this.#shown = true;
    const part = this.#total
      ? ` of ${megabytes(this.#total)} (${Math.floor((100 * this.#bytes) / this.#total)} %)`
      : '';
    process.stderr.write(`${CLEAR}${this.#label}: ${megabytes(this.#bytes)}${part}`);
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
