import { descriptorLimit, procSelf, tableSize } from './table-size.js';

/**
 * For each user, over all processes, the kernel counts descriptors that were sent and not yet received. It refuses to send more than the
 * soft RLIMIT_NOFILE of the sending process (ETOOMANYREFS). A descriptor is counted until the receiver reads it or closes its end. When the
 * sending end is closed, nothing changes. So one peer that never reads must not use up the limit: a connection gets this share of it.
 */
const SHARE_OF_LIMIT = 1 / 16;

/** As many descriptors as one message carries, so that every connection can send. */
const SMALLEST_SHARE = 64;

/** The part of a connection that {@link UnreadDescriptors} uses. */
export interface UnreadSource {
  /** Kernel memory of the messages that the peer has not read, in bytes. */
  unread(): number;
  bytesWritten(): number;
}

/** Counts the descriptors that were sent on one connection and that its peer has not read. */
export class UnreadDescriptors {
  readonly #source: UnreadSource;
  /** For each message with descriptors, oldest first: the bytes sent before it, and the number of its descriptors. */
  readonly #messages: { readonly bytes: number; readonly count: number }[] = [];
  #count = 0;

  constructor(source: UnreadSource) {
    this.#source = source;
  }

  /** Whether `count` more have to wait until the peer has read some. */
  mustWait(count: number): boolean {
    if (this.#count + count <= SMALLEST_SHARE) return false;
    this.#forgetRead();
    if (this.#count + count <= SMALLEST_SHARE) return false;
    return this.#count + count > shareOfLimit();
  }

  /** `count` have been sent, with the last `bytes` bytes. */
  sent(count: number, bytes: number): void {
    this.#messages.push({ bytes: this.#source.bytesWritten() - bytes, count });
    this.#count += count;
  }

  /**
   * The kernel tells how much memory the unread messages use, and each message uses more memory than it has bytes. So a message has
   * certainly been read when the unread messages use less memory than the bytes that were sent after it.
   */
  #forgetRead(): void {
    const unread = this.#source.unread();
    const written = this.#source.bytesWritten();
    let read = 0;
    for (const { bytes, count } of this.#messages) {
      if (written - bytes <= unread) break;
      this.#count -= count;
      read++;
    }
    this.#messages.splice(0, read);
  }
}

/** The limit for one connection. Infinity where the kernel does not apply one. */
function shareOfLimit(): number {
  exempt ??= isExempt();
  if (exempt) return Number.POSITIVE_INFINITY;
  return shareOfUnread(descriptorLimit());
}

/** Of a table of that size, also where the kernel applies no limit. */
export function shareOfUnread(size = tableSize()): number {
  return Math.max(SMALLEST_SHARE, Math.floor(size * SHARE_OF_LIMIT));
}

let exempt: boolean | undefined;

/** Bits of CapEff: CAP_SYS_ADMIN is 21, CAP_SYS_RESOURCE is 24. */
const EXEMPTING_CAPABILITIES = (1n << 21n) | (1n << 24n);

/** The kernel exempts processes with one of the capabilities in its first user namespace (unix_attach_fds). */
function isExempt(): boolean {
  const effective = BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(procSelf('status'))?.[1] ?? '0'}`);
  return (
    (effective & EXEMPTING_CAPABILITIES) !== 0n && /^\s*0\s+0\s+4294967295\s*$/.test(procSelf('uid_map'))
  );
}
