/** Descriptors whose last close waits, and what waits for it. */
import { closeSync } from 'node:fs';
import { native } from '#src/native/binding.js';
import { allClosed } from './all-closed.js';
import { defer } from './fd-table.js';
import { within } from './until.js';

export interface Lingering {
  /** A socket. Its last close waits until {@link letGo}. */
  readonly fd: number;
  /** Ends the wait. Idempotent. */
  readonly letGo: () => void;
}

const hangingPeers = new Set<number>();

/** The end of the test ends all waits. `fd` is the caller's. */
export function lingering(): Lingering {
  const [fd, peer] = native.testing.lingeringSocket();
  native.unguard(fd);
  hangingPeers.add(peer);
  const letGo = () => {
    if (hangingPeers.delete(peer)) closeSync(peer);
  };
  native.unguard(peer);
  defer(async () => {
    for (const each of hangingPeers) closeSync(each);
    hangingPeers.clear();
    await allClosed();
  });
  return { fd, letGo };
}

/** Waits until so many closes, and no others, have not ended. */
export async function hanging(count: number): Promise<void> {
  await within(5_000, `${count} closes hang`, () => native.pendingCloses() === count);
}
