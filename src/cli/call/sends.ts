/** `--send`: opens files, and sends them with a call. */
import { constants, existsSync, lstatSync } from 'node:fs';
import { quotePeerText } from '../../error-text.js';
import type { FdCallCredentials, SentFd } from '../../index.js';
import { EXIT, Failure, oneLine } from '../failure.js';
import { isInherited } from '../inherited.js';

export const FLAGS: readonly string[] = ['r', 'r+', 'w', 'w+', 'a', 'a+', 'path'];

export type SendSpec =
  | { readonly field: string; readonly from: 'stdin' | 'fd'; readonly fd: number }
  | {
      readonly field: string;
      readonly from: 'path';
      readonly path: string;
      readonly flags: string | undefined;
    };

/** A descriptor that goes with the call, and the field that gets its name. */
export interface Sent {
  readonly field: string;
  readonly name: string;
  /** Rejects when it cannot be sent. */
  readonly sent: Promise<void>;
}

export function sendAll(fds: FdCallCredentials, specs: readonly SendSpec[], byUrl: boolean): Sent[] {
  return specs.map((spec) => {
    const { ref, url, sent } = sendOne(fds, spec);
    const name = byUrl ? url : ref;
    sent.catch(() => {});
    return { field: spec.field, name, sent };
  });
}

function sendOne(fds: FdCallCredentials, spec: SendSpec): SentFd {
  if (spec.from === 'fd' && !isInherited(spec.fd)) {
    const reason = 'this process did not inherit it. npx passes none above 2 on';
    throw new Failure(`descriptor ${spec.fd} cannot be sent: ${reason}`, EXIT.noInput);
  }
  try {
    if (spec.from !== 'path') return fds.sendFd(spec.fd);
    const flags = spec.flags ?? (isSocket(spec.path) ? 'path' : 'r');
    // O_PATH is what the method opens with by default.
    return fds.sendFilename(spec.path, flags === 'path' ? {} : { flags: flags === 'r' ? READ : flags });
  } catch (error) {
    const hint = spec.from === 'path' ? hintOf(spec.path) : '';
    throw new Failure(`${hint}${oneLine(error)}`, EXIT.noInput, { cause: error });
  }
}

/** For a path that is not there, where what stands before its last colon is. */
function hintOf(path: string): string {
  const colon = path.lastIndexOf(':');
  const file = path.slice(0, Math.max(colon, 0));
  if (existsSync(path) || !existsSync(file)) return '';
  const flags = quotePeerText(path.slice(colon + 1));
  return `${quotePeerText(file)} exists, and ${flags} is none of the flags ${FLAGS.join(', ')}: `;
}

const READ = constants.O_RDONLY;

/** A socket file can only be opened with O_PATH. */
function isSocket(path: string): boolean {
  try {
    return lstatSync(path).isSocket();
  } catch {
    return false;
  }
}
