/**
 * The functions of the addon that close descriptors, and never wait. A close may take any time: with a file whose server is slow, a socket with
 * a linger time, memory of gigabytes. What is known to close at once is closed before they return. All else is closed by threads, soon: see
 * native/closers.h. It is on the account of the connection on which it came, also if it is a duplicate of that.
 */
export interface ClosingFunctions {
  /** Closes and unguards `fd`. It throws EBADF only: after any other error the descriptor is closed, too. */
  close(fd: number): void;
  /** Closes and unguards all of them, also when some fail. */
  closeAll(fds: readonly number[]): void;
  /** Closes and unguards `fd` if it closes at once. Otherwise returns false, and does nothing. */
  closeAtOnce(fd: number): boolean;
  /** Unguards `fd`, has a thread close it, and calls `onClosed` when that is done. */
  closeAndTell(fd: number, onClosed: () => void): void;
  /** Whether the closes that somebody is to be told of keep the process alive. At first they do. */
  keepAliveForClosers(wanted: boolean): void;
  /** How many descriptors of the account wait to be closed. */
  waitingCloses(account: number): number;
  /** The same, if none of the account has been closed for a second. 0 otherwise. */
  stuckCloses(account: number): number;
  /** How many descriptors wait to be closed, on all accounts: their numbers are still in use. */
  queuedCloses(): number;
  /** How many closes of this thread have not ended, on all accounts. */
  pendingCloses(): number;
}
