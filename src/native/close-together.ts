/** Closes the descriptors that are let go of one by one in one turn with one call of the addon, which asks the kernel less often. */
import { native } from './binding.js';

let together: number[] | undefined;

/** Closes `fd`: now, or at the end of the {@link closeTogether} that runs. */
export function closeSoon(fd: number): void {
  if (together === undefined) native.close(fd);
  else together.push(fd);
}

/** Runs `letGo`, and then closes all that it closes with {@link closeSoon}. */
export function closeTogether(letGo: () => void): void {
  if (together !== undefined) {
    letGo();
    return;
  }
  const fds: number[] = [];
  together = fds;
  try {
    letGo();
  } finally {
    together = undefined;
    if (fds.length > 0) native.closeAll(fds);
  }
}
