import { native } from '#src/native/binding.js';
import { defer } from './fd-table.js';
import { withFreshNumber } from './fresh-number.js';

/** A socket that listens at `path`, without anybody who accepts, as a service manager has it. It is the caller's. */
export function listeningSocket(path: string): number {
  const fd = native.bindUnix(Buffer.from(path));
  const handle = new native.SocketHandle(native.duplicate(fd), () => {});
  handle.listen(16);
  handle.close();
  return withFreshNumber(fd);
}

/** A copy for this test, closed at its end. */
export function keptOpen(fd: number): number {
  const kept = native.duplicate(fd);
  defer(() => native.close(kept));
  return kept;
}
