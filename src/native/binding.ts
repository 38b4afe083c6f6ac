/** Finds and loads the addon. The only file that knows where it lies. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { GrpcFdError } from '../errors.js';
import { type ArrayFunctions, type ListFunctions, withArrays } from './fd-lists.js';
import type { NativeBinding } from './types.js';

const packageRoot = new URL('../../', import.meta.url);

/** The functions of the addon, documented in `types.ts`. */
export const native: NativeBinding = complete(load());

export const { duplicateAll, close, closeAll, unguardAll, identify, tryLock } = native;
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
    'To build it: npm ci in a clone of the repository, which takes make, Python 3 and a C++17 compiler; then npm pack, and install that.',
  ];
  throw new GrpcFdError('ERR_GRPCFD_ADDON_NOT_LOADED', details.join('\n'), {
    cause: new AggregateError(causes, 'no candidate could be loaded'),
  });
}

/** A require that fails lists its require stack after the first line. */
function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split('\n', 1)[0] ?? '';
}

/** Which C library this process runs on. `process.report` tells as well, but takes milliseconds to do so. */
function isMusl(): boolean {
  try {
    return readFileSync('/proc/self/maps', 'latin1').includes('/ld-musl-');
  } catch {
    return false; // Not Linux: no addon will be found, and the error above says so.
  }
}
