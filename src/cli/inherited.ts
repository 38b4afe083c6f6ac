/** Which descriptors the process has from its parent, and which Node.js or the tool has opened. */
import { constants, readdirSync, readFileSync, readlinkSync } from 'node:fs';

const STANDARD_ERROR = 2;
const { O_WRONLY } = constants;
const O_CLOEXEC = 0o2000000;
/** What the event loop of Node.js opens. Its pipes are known by their two ends. */
const OF_THE_LOOP = new Set(['anon_inode:[eventpoll]', 'anon_inode:[eventfd]', 'anon_inode:[io_uring]']);

let inherited: ReadonlySet<number> | undefined;

interface Open {
  readonly fd: number;
  readonly target: string;
  readonly flags: number;
}

/** Has to be called before the tool opens anything. */
export function noteInherited(): void {
  try {
    const all = readdirSync('/proc/self/fd').flatMap(look);
    inherited = new Set(all.filter((each) => !isOwn(each, all)).map(({ fd }) => fd));
  } catch {
    // Without /proc, nothing is known.
  }
}

function isOwn({ fd, target, flags }: Open, all: readonly Open[]): boolean {
  // Node.js sets O_CLOEXEC on the low numbers that it inherits, too. So its absence alone tells something.
  if (fd <= STANDARD_ERROR || (flags & O_CLOEXEC) === 0) return false;
  if (OF_THE_LOOP.has(target)) return true;
  // A shell may pass the same end of a pipe on under two numbers.
  const isOtherEnd = (other: Open) =>
    other.fd > STANDARD_ERROR && other.target === target && (other.flags & O_WRONLY) !== (flags & O_WRONLY);
  return target.startsWith('pipe:') && all.some(isOtherEnd);
}

/** True also where nothing is known. */
export function isInherited(fd: number): boolean {
  return inherited?.has(fd) ?? true;
}

/** Nothing for the descriptor that was open to read the list. */
function look(name: string): Open[] {
  try {
    const target = readlinkSync(`/proc/self/fd/${name}`);
    const info = readFileSync(`/proc/self/fdinfo/${name}`, 'utf8');
    const [, flags = '0'] = /^flags:\s*(\d+)$/m.exec(info) ?? [];
    return [{ fd: Number(name), target, flags: Number.parseInt(flags, 8) }];
  } catch {
    return [];
  }
}
