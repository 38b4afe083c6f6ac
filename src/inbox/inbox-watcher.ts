/**
 * Why an inbox closed a descriptor:
 *
 * - `maxHeldFds`, `maxHeldFdsTotal`, `maxFdsPerCall`, `holdMs`: that limit
 * - `table full`: it had been received by URL, the call that did so had ended, and the descriptor table of the process was about full
 * - `superseded`: a newer one of the same inode came from a peer that names descriptors by URL alone
 * - `call ended`: the call that it came for ended, and had not received it
 * - `credentials done`: at a client, all credentials that could receive it were closed, collected or used again
 * - `connection closed`: its connection closed
 */
export type CloseReason =
  | 'maxHeldFds'
  | 'maxHeldFdsTotal'
  | 'maxFdsPerCall'
  | 'holdMs'
  | 'table full'
  | 'superseded'
  | 'call ended'
  | 'credentials done'
  | 'connection closed';

/** Counts what an inbox does, and tells others of it. Its methods must not throw, and must not run code of the user's that changes the inbox. */
export interface InboxWatcher {
  /** So many were given to receivers. A duplicate counts, too. */
  fdsTaken(count: number): void;
  /** So many were closed, and nobody has received them. */
  fdsClosed(count: number, reason: CloseReason): void;
  /** A receive was refused, because `maxPendingReceives` wait already. */
  receiveRefused(): void;
}

/** For an inbox that nobody watches. */
export const NOBODY: InboxWatcher = {
  fdsTaken() {},
  fdsClosed() {},
  receiveRefused() {},
};
