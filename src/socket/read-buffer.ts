/**
 * Where received bytes go. Both kinds are shared by all sockets of the thread, which works because a socket
 * reads and delivers in one go: no other can read in between.
 */
export interface ReadBuffer {
  readonly memory: Buffer;
  /** Reads start here. There is always room behind it. */
  readonly offset: number;
  /** The `size` bytes that were read there. */
  take(size: number): Buffer;
}

/** What Node.js itself reads at most from a socket at a time. */
const BUFFER_BYTES = 64 * 1024;

/**
 * A slab with less room than this is left to those who hold pieces of it: reads of less cost more than they
 * save.
 */
const SMALLEST_READ_BYTES = 8 * 1024;

class SlabReadBuffer implements ReadBuffer {
  memory = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  offset = 0;

  take(size: number): Buffer {
    const piece = this.memory.subarray(this.offset, this.offset + size);
    this.offset += size;
    if (this.memory.length - this.offset < SMALLEST_READ_BYTES) {
      this.memory = Buffer.allocUnsafeSlow(BUFFER_BYTES);
      this.offset = 0;
    }
    return piece;
  }
}

class ReusedReadBuffer implements ReadBuffer {
  readonly memory = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  readonly offset = 0;

  take(size: number): Buffer {
    return this.memory.subarray(0, size);
  }
}

let slab: ReadBuffer | undefined;
let reused: ReadBuffer | undefined;

/** Hands out pieces that are the receiver's to keep. */
export function slabReadBuffer(): ReadBuffer {
  slab ??= new SlabReadBuffer();
  return slab;
}

/** Hands out pieces that are good only until the receiver returns. */
export function reusedReadBuffer(): ReadBuffer {
  reused ??= new ReusedReadBuffer();
  return reused;
}
