import assert from 'node:assert/strict';
import { closeAll, native } from '#src/native/binding.js';
import { defer } from './fd-table.js';

/** A listening socket with a full backlog; `accept` makes room. */
export function fullListener(path: string): { accept: () => void } {
  const handle = new native.SocketHandle(native.bindUnix(Buffer.from(path)), () => {});
  handle.listen(0);
  const waiting: number[] = [];
  defer(() => {
    handle.close();
    closeAll(waiting);
  });
  for (;;) {
    try {
      waiting.push(native.connectUnix(Buffer.from(path)));
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
      return { accept: () => waiting.push(handle.accept()) };
    }
  }
}
