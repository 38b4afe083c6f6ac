// Makes a pseudoterminal. Node.js opens the master, but has no ioctl, which it takes to unlock the slave and to learn its number. A small
// program does that with the master as its standard input: perl, which every Debian and Ubuntu has, or python3.
import { spawnSync } from 'node:child_process';
import { closeSync, constants, existsSync, openSync } from 'node:fs';

export interface Terminal {
  /** The caller closes it. */
  readonly master: number;
  readonly slavePath: string;
}

// TIOCSPTLCK and TIOCGPTN, the same on x64 and arm64.
const [UNLOCK, GET_NUMBER] = ['0x40045431', '0x80045430'];
const HELPERS: readonly (readonly [string, string, string])[] = [
  [
    'perl',
    '-e',
    `my $n = pack('i', 0); ioctl(STDIN, ${UNLOCK}, $n) && ioctl(STDIN, ${GET_NUMBER}, $n) || die $!; print unpack('I', $n)`,
  ],
  [
    'python3',
    '-c',
    `import fcntl; fcntl.ioctl(0, ${UNLOCK}, bytes(4)); print(int.from_bytes(fcntl.ioctl(0, ${GET_NUMBER}, bytes(4)), 'little'))`,
  ],
];

/** A new pseudoterminal, or why there is none. */
export function openTerminal(): Terminal | string {
  let master: number;
  try {
    master = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY);
  } catch (error) {
    return (error as Error).message;
  }
  const failures: string[] = [];
  for (const [command, flag, program] of HELPERS) {
    const { error, status, stdout, stderr } = spawnSync(command, [flag, program], {
      stdio: [master, 'pipe', 'pipe'],
      encoding: 'utf8',
    });
    const slavePath = `/dev/pts/${Number(stdout)}`;
    if (status === 0 && existsSync(slavePath)) return { master, slavePath };
    failures.push(`${command}: ${error?.message ?? (stderr.trim() || `there is no ${slavePath}`)}`);
  }
  closeSync(master);
  return `Node.js has no ioctl to unlock it, and neither can perl nor python3 (${failures.join('; ')})`;
}
