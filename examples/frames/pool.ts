// What both processes know: how frames lie in the memory, and what each of them looks like.
import { createCipheriv } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const proto = fileURLToPath(new URL('../../../examples/frames/frames.proto', import.meta.url));
export const cameraService = loadSync(proto)['grpcfd.examples.Camera'] as grpc.ServiceDefinition;

export interface Wanted {
  frames: number;
}

export interface Pool {
  memory: string;
  stored: string;
  done: string;
}

export interface Frame {
  content: Buffer;
}

export const FRAME_BYTES = 8 * 1024 * 1024;
/** How many frames can be stored while the consumer looks at another one. */
const SLOTS = 4;
const HEADER_BYTES = 4096;
export const POOL_BYTES = HEADER_BYTES + SLOTS * FRAME_BYTES;

/** A ring of frames in shared memory. Each of the two counters has one process that moves it. */
export class FrameRing {
  readonly #memory: Uint8Array;
  readonly #counters: Int32Array;

  constructor(memory: Uint8Array) {
    this.#memory = memory;
    this.#counters = new Int32Array(memory.buffer, memory.byteOffset, 2);
  }

  /** Frames that the producer has stored since it began. */
  get stored(): number {
    return Atomics.load(this.#counters, 0);
  }

  set stored(count: number) {
    Atomics.store(this.#counters, 0, count);
  }

  /** Frames that the consumer is done with. */
  get done(): number {
    return Atomics.load(this.#counters, 1);
  }

  set done(count: number) {
    Atomics.store(this.#counters, 1, count);
  }

  get isFull(): boolean {
    return this.stored - this.done >= SLOTS;
  }

  /** Where the frame of that number lies. */
  slot(number: number): Uint8Array {
    const start = HEADER_BYTES + (number % SLOTS) * FRAME_BYTES;
    return this.#memory.subarray(start, start + FRAME_BYTES);
  }
}

/** The same bytes in both processes, which look like noise. */
const noise = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(
  Buffer.alloc(2 * FRAME_BYTES),
);

/** The frame of that number, as a camera would see it. Another number has other bytes. */
export function seen(number: number): Buffer {
  const start = (number * 4099) % FRAME_BYTES;
  return noise.subarray(start, start + FRAME_BYTES);
}
