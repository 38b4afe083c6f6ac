/** Tells when descriptors are closed that may take any time for it. */
import { clearTimeout, setTimeout } from '../timers.js';
import { native } from './binding.js';

/** Whoever waits for a close that hangs keeps a program that has nothing else to do for so long. */
const PATIENCE_MS = 1_000;

let waits = 0;
let patience: NodeJS.Timeout | undefined;

/** Closes and unguards `fd`. Undefined if that is done. Otherwise the promise resolves when it is. */
export function closed(fd: number): Promise<void> | undefined {
  if (native.closeAtOnce(fd)) return undefined;
  return whenClosed((onClosed) => {
    native.closeAndTell(fd, onClosed);
    return true;
  });
}

/** The same for a close that `start` begins. It returns whether it will call back. */
export function whenClosed(start: (onClosed: () => void) => boolean): Promise<void> | undefined {
  let settle: () => void = () => {};
  const isPending = start(() => {
    waits--;
    if (waits === 0) clearTimeout(patience);
    settle();
  });
  if (!isPending) return undefined;
  waits++;
  clearTimeout(patience);
  native.keepAliveForClosers(true);
  // It runs while anything keeps the process alive, be it only the close.
  patience = setTimeout(() => native.keepAliveForClosers(false), PATIENCE_MS).unref();
  return new Promise((resolve) => {
    settle = resolve;
  });
}
