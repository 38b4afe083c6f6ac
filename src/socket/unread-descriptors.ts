import { readFileSync } from 'node:fs';

/**
 * The kernel counts descriptors that were sent and not yet received, for each user over all processes, and refuses more than the
 * soft RLIMIT_NOFILE of the sending process (ETOOMANYREFS). They stay counted until the receiver reads or closes: closing the
 * sending end frees none. So one peer that never reads must not be given them all. A connection gets this share of the limit.
 */
const SHARE_OF_LIMIT = 1 / 16;

/** What goes into one message, so that every connection can send. */
const SMALLEST_SHARE = 64;

/** What is asked of the connection. */
export interface UnreadSource {
  /** Memory in the kernel that is taken up by what the peer has not read. */
  unread(): number;
  bytesWritten(): number;
}

/** Counts the descriptors that were sent on one connection and that its peer has not read. */
export class UnreadDescriptors {
  readonly #source: UnreadSource;
  /** A message with descriptors each, the oldest first: bytes that had been sent before it, and its descriptors. */
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
   * The kernel tells how much memory unread messages take up, and a message takes up more than its bytes. So a message has been
   * read for certain when less memory is taken up than bytes were sent since.
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

/** Infinity where the kernel does not apply the limit. */
function shareOfLimit(): number {
  exempt ??= isExempt();
  if (exempt) return Number.POSITIVE_INFINITY;
  return Math.max(SMALLEST_SHARE, Math.floor(descriptorLimit() * SHARE_OF_LIMIT));
}

/** The soft RLIMIT_NOFILE, which bounds the descriptor table too. */
export function descriptorLimit(): number {
  return Number(/^Max open files +(\d+)/m.exec(procSelf('limits'))?.[1] ?? Number.POSITIVE_INFINITY);
}

let exempt: boolean | undefined;

/** Bits of CapEff: CAP_SYS_ADMIN is 21, CAP_SYS_RESOURCE is 24. */
const EXEMPTING_CAPABILITIES = (1n << 21n) | (1n << 24n);

/** The kernel exempts who has a capability in its first user namespace (unix_attach_fds). */
function isExempt(): boolean {
  const effective = BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(procSelf('status'))?.[1] ?? '0'}`);
  return (
    (effective & EXEMPTING_CAPABILITIES) !== 0n && /^\s*0\s+0\s+4294967295\s*$/.test(procSelf('uid_map'))
  );
}

function procSelf(name: string): string {
  try {
    return readFileSync(`/proc/self/${name}`, 'latin1');
  } catch {
    return '';
  }
}
