import { native } from '#src/native/binding.js';
import { type DescriptorTable, descriptorTable } from './fd-table.js';

/** Whether anything lies unread in a socket of this process that is not in `before`. */
export function bytesLieUnread(before: DescriptorTable): boolean {
  return [...descriptorTable()].some(
    ([fd, target]) => target.startsWith('socket:') && !before.has(fd) && unreadBytes(fd) > 0,
  );
}

function unreadBytes(fd: number): number {
  try {
    return native.testing.unreadBytes(fd);
  } catch {
    // It listens.
    return 0;
  }
}
