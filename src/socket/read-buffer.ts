/** As much as Node.js itself reads from a socket at a time, at most. */
const BUFFER_BYTES = 64 * 1024;

/** A buffer with less room than this is replaced: shorter reads cost more than the memory that they save. */
const SMALLEST_READ_BYTES = 8 * 1024;

/**
 * Memory for received bytes. Receivers get pieces of it, which they may keep. All sockets of the thread share one buffer, because each
 * reads and delivers in one turn.
 */
class ReadBuffer {
  memory: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  /** The next read begins here. There is always room behind it. */
  offset = 0;

  /** The `size` bytes that were read at the offset. */
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
