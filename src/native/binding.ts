/** Finds and loads the addon. No other file knows where it is. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { GrpcFdError } from '../errors.js';
import { type ArrayFunctions, type ListFunctions, withArrays } from './fd-lists.js';
import type { NativeBinding } from './types.js';

const packageRoot = new URL('../../', import.meta.url);

/** The functions of the addon, documented in `types.ts`. */
export const native: NativeBinding = complete(load());

export const { duplicateAll, close, closeAll, unguardAll, identify } = native;
export const { Bridge, SocketHandle, peerCredentials, connectUnix, bindUnix, placeholder } = native;
export const { systemError, O_PATH, ETOOMANYREFS } = native;

type Addon = Omit<NativeBinding, keyof ArrayFunctions> & ListFunctions;

function complete(addon: Addon): NativeBinding {
  return { ...addon, ...withArrays(addon) };
}

function load(): Addon {
  const platform = `${process.platform}-${process.arch}${isMusl() ? '-musl' : ''}`;
  const candidates = [`prebuilds/${platform}/grpcfd.node`, 'native/build/Release/grpcfd.node'];
  const require = createRequire(import.meta.url);
  const failures: string[] = [];
  const causes: unknown[] = [];
  for (const candidate of candidates) {
    try {
      return require(fileURLToPath(new URL(candidate, packageRoot))) as Addon;
    } catch (error) {
      causes.push(error);
      failures.push(`  ${candidate}: ${firstLine(error)}`);
    }
  }
  const details = [
    `the native addon could not be loaded on ${platform}, Node.js ${process.version}. Tried:`,
    ...failures,
    'To build it, run npm ci in a clone of the repository, which needs make, Python 3 and a C++17 compiler. Then run npm pack, and install the result.',
  ];
  throw new GrpcFdError('ERR_GRPCFD_ADDON_NOT_LOADED', details.join('\n'), {
    cause: new AggregateError(causes, 'no candidate could be loaded'),
  });
}

/** The error of a failed require() has the require stack after its first line. */
function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split('\n', 1)[0] ?? '';
}

/** Whether this process uses musl as its C library. `process.report` tells it, too, but takes milliseconds. */
function isMusl(): boolean {
  try {
    return readFileSync('/proc/self/maps', 'latin1').includes('/ld-musl-');
  } catch {
    return false; // Not Linux: no addon will be found, and the error above says so.
  }
}
