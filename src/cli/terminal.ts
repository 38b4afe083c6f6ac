/** What the tool prints to, and how it looks there. */
import type { Writable } from 'node:stream';

type Output = Writable & { readonly isTTY?: boolean };

export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
}

/** Colours on a terminal. Without one, or with NO_COLOR (https://no-color.org), the texts stay as they are. */
export function styleOf(output: Output): Style {
  const { NO_COLOR = '', TERM = '' } = process.env;
  const coloured = output.isTTY === true && NO_COLOR === '' && TERM !== 'dumb';
  const code = (on: number, off: number) => (text: string) =>
    coloured ? `\x1b[${on}m${text}\x1b[${off}m` : text;
  return {
    bold: code(1, 22),
    dim: code(2, 22),
    red: code(31, 39),
    green: code(32, 39),
    yellow: code(33, 39),
  };
}

/** Resolves when all that was written has been handed on. `process.exit()` would cut it off in a pipe. */
export function flushed(output: Writable): Promise<void> {
  return new Promise((resolve) => {
    output.write('', () => resolve());
  });
}

/** What may wait for a reader that is slow. */
const MOST_WAITING_BYTES = 4 * 1024 * 1024;

/**
 * Writes lines. While more than 4 MiB wait to be read, lines are left out, and `lineOfLeftOut` makes one in their place. A terminal or a file holds
 * the process up instead, so nothing waits.
 */
export function boundedWriter(
  output: Writable,
  lineOfLeftOut: (count: number) => string,
): (line: string) => void {
  let leftOut = 0;
  return (line) => {
    if (output.writableLength > MOST_WAITING_BYTES) {
      if (leftOut++ > 0) return;
      output.once('drain', () => {
        output.write(`${lineOfLeftOut(leftOut)}\n`);
        leftOut = 0;
      });
      return;
    }
    output.write(`${line}\n`);
  };
}
