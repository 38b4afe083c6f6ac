/** Which descriptors the process has from its parent, and which Node.js or the tool has opened. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const STANDARD_ERROR = 2;
const O_CLOEXEC = 0o2000000;
/** What the event loop of Node.js opens. Its pipes are known by their two ends. */
const OF_THE_LOOP = new Set(['anon_inode:[eventpoll]', 'anon_inode:[eventfd]', 'anon_inode:[io_uring]']);

let inherited: ReadonlySet<number> | undefined;

/** Has to be called before the tool opens anything. */
export function noteInherited(): void {
  const targets = new Map<number, string>();
  try {
    for (const name of readdirSync('/proc/self/fd')) {
      const target = targetOf(name);
      if (target !== undefined) targets.set(Number(name), target);
    }
  } catch {
    return; // Without /proc, nothing is known.
  }
  const further = [...targets].filter(([fd]) => fd > STANDARD_ERROR);
  const isOwn = (fd: number, target: string) => {
    if (fd <= STANDARD_ERROR) return false;
    const hasBothEnds =
      target.startsWith('pipe:') && further.some(([other, same]) => other !== fd && same === target);
    // Node.js sets O_CLOEXEC on the low numbers that it inherits, too. So its absence alone tells something.
    return (OF_THE_LOOP.has(target) || hasBothEnds) && closesOnExec(fd);
  };
  inherited = new Set([...targets].filter(([fd, target]) => !isOwn(fd, target)).map(([fd]) => fd));
}

/** True also where nothing is known. */
export function isInherited(fd: number): boolean {
  return inherited?.has(fd) ?? true;
}

/** Undefined for the descriptor that was open to read the list. */
function targetOf(name: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${name}`);
  } catch {
    return undefined;
  }
}

function closesOnExec(fd: number): boolean {
  const [, flags = '0'] = /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')) ?? [];
  return (Number.parseInt(flags, 8) & O_CLOEXEC) !== 0;
}
