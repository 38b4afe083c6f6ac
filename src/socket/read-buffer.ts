/** What Node.js itself reads at most from a socket at a time. */
const BUFFER_BYTES = 64 * 1024;

/**
 * A slab with less room than this is left to those who hold pieces of it: reads of less cost more than they
 * save.
 */
const SMALLEST_READ_BYTES = 8 * 1024;

/**
 * Where received bytes go, in pieces that are the receiver's to keep. All sockets of the thread share one, which works because
 * a socket reads and delivers in one go: no other can read in between.
 */
class ReadBuffer {
  memory = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  /** Reads start here. There is always room behind it. */
  offset = 0;

  /** The `size` bytes that were read there. */
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

export const readBuffer = new ReadBuffer();
