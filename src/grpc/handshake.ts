import type { Outgoing } from './outgoing.js';

/**
 * Descriptors that a connection holds before its handshake has ended. The Go package puts what is sent before the first call on the first
 * bytes of the handshake, 64 to a write. A peer that has shown no certificate may send that many, and no more.
 */
export const MAX_HELD_IN_HANDSHAKE = 64;

/**
 * The time from the connect until the TLS handshake has ended. In plaintext it is over before the first byte is read or written. The peer
 * is not known yet, and it holds no more than {@link MAX_HELD_IN_HANDSHAKE} descriptors. So what is sent meanwhile waits here.
 */
export class Handshake {
  #waiting: Outgoing[] = [];
  #hasEnded = false;

  /** How many descriptors wait to be sent. */
  get pending(): number {
    return this.#waiting.length;
  }

  /** How many descriptors may come in addition to those that are held. */
  roomFor(held: number): number {
    return this.#hasEnded ? Number.POSITIVE_INFINITY : Math.max(MAX_HELD_IN_HANDSHAKE - held, 0);
  }

  /** The peer is known from now on. */
  end(): void {
    this.#hasEnded = true;
  }

  wait(descriptor: Outgoing): void {
    this.#waiting.push(descriptor);
  }

  /** The descriptors that wait, in order. They belong to the caller. */
  takeWaiting(): readonly Outgoing[] {
    const waiting = this.#waiting;
    this.#waiting = [];
    return waiting;
  }
}
