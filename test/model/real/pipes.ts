/** The pipes whose ends to write to travel. The test keeps the ends to read from, which tell whether any of the others is open. */
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { fdToUrl } from 'grpcfd';
import { native } from '#src/native/binding.js';

/** These tell open files with one inode apart: each bit of the number of an open file is one of them. */
const MARKS = [constants.O_APPEND, constants.O_NONBLOCK, constants.O_DSYNC, constants.O_NOATIME];

/** So many open files of one pipe can be told apart. */
export const OPEN_FILES_OF_A_PIPE = 2 ** MARKS.length;

/** How a process makes a descriptor to send. */
export type ToSend =
  | { readonly kind: 'pipe'; readonly path: string; readonly flags: number }
  /** An io_uring, which the kernel refuses to send. */
  | { readonly kind: 'refused' };

/** What tells an open file from all others of a history. */
export interface Identity {
  readonly ino: number;
  readonly marks: number;
}

export function identityOf(fd: number): Identity {
  const [, flags = ''] = /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')) ?? [];
  const marks = MARKS.reduce((mask, mark) => mask | mark, 0) & Number.parseInt(flags, 8);
  return { ino: fstatSync(fd).ino, marks };
}

/** The caller closes it. */
export function open(what: ToSend): number {
  return what.kind === 'refused'
    ? native.testing.ioUring()
    : openSync(what.path, constants.O_WRONLY | what.flags);
}

/** Whether there is something that the kernel refuses: since Linux 6.7, and where a process may make it. */
export const canRefuse = (() => {
  try {
    closeSync(native.testing.ioUring());
    return true;
  } catch {
    return false;
  }
})();

const buffer = Buffer.alloc(4096);

export class PipeEnd {
  readonly url: string;
  readonly ino: number;
  readonly #fd: number;
  readonly #texts = new Set<string>();

  constructor() {
    const [out, into] = native.testing.pipe();
    closeSync(into);
    this.#fd = out;
    this.url = fdToUrl(out);
    this.ino = fstatSync(out).ino;
  }

  /** Another process of the same user can open it, too. */
  toSend(openFile: number): ToSend {
    return { kind: 'pipe', path: `/proc/${process.pid}/fd/${this.#fd}`, flags: this.marks(openFile) };
  }

  marks(openFile: number): number {
    return MARKS.reduce((flags, mark, bit) => (openFile & (1 << bit) ? flags | mark : flags), 0);
  }

  /** Reads what is there. False when no descriptor of the end to write to is open, in any process. */
  isOpen(): boolean {
    try {
      for (;;) {
        const length = readSync(this.#fd, buffer);
        if (length === 0) return false;
        for (const text of buffer.toString('utf8', 0, length).split(/(?<=;)/)) this.#texts.add(text);
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      return true;
    }
  }

  /** Whether that text has come, which ends with a semicolon. */
  hasRead(text: string): boolean {
    this.isOpen();
    return this.#texts.has(text);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
