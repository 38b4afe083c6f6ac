/**
 * Finds and loads the addon. No other file knows where it is. Each prebuilt file stands in a `require` of its own, as a literal, so that
 * bundlers see it. The file of a local build does not, since they would look for it in vain. The paths hold for this file, and for the one
 * file of the package, which lies as deep.
 */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join, resolve } from 'node:path';
import { GrpcFdError } from '../errors.js';

/** `npm run package` puts the number itself here, which addons have, too. */
const VERSION: string = require('../../package.json').version;

/** Loads only the file that this environment variable names, if it is set. */
const VARIABLE = 'GRPCFD_ADDON';

/**
 * Whether descriptors can travel on this platform: true on Linux on x64 and arm64. Elsewhere the package loads, and calls work as with grpc-js
 * alone. What sends or receives a descriptor fails with `ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT`.
 */
export const supported = process.platform === 'linux' && (process.arch === 'x64' || process.arch === 'arm64');

/** What every addon of this package has. */
interface Versioned {
  readonly version?: unknown;
}

/** The part of the report of Node.js that is used. */
interface Report {
  readonly header: object;
}

interface Candidate {
  readonly file: string;
  readonly madeFor: string;
  load(): unknown;
}

/**
 * The exports of the addon.
 *
 * @throws GrpcFdError `ERR_GRPCFD_ADDON_NOT_LOADED`
 */
export function loadAddon(): unknown {
  assertNode();
  const chosen = process.env[VARIABLE];
  if (chosen !== undefined && chosen !== '') return loadChosen(chosen);
  const causes: unknown[] = [];
  const failures: string[] = [];
  for (const { file, madeFor, load } of candidates(cLibrary())) {
    try {
      return ofThisVersion(load());
    } catch (error) {
      causes.push(error);
      failures.push(`  ${file}, made for ${madeFor}: ${firstLine(error)}`);
    }
  }
  throw notLoaded([...failures, ...(causes.some(isForbidden) ? PERMISSION : REMEDIES)], causes);
}

/** The last lines of the error where no file could be loaded. */
const REMEDIES = [
  'If the package is in a bundle, mark grpcfd and @grpc/grpc-js as external in the bundler, or name the file in the environment variable',
  `${VARIABLE}. Otherwise build the addon for this machine, which needs a C++17 compiler: node node_modules/grpcfd/native/build.mjs`,
];

/** The last line where Node.js loads no addon at all. */
const PERMISSION = [
  'This process forbids addons. With --permission, start it with --allow-addons, too. Leave out --no-addons',
];

/** Whether `--permission` or `--no-addons` is the cause. */
const isForbidden = (error: unknown): boolean =>
  typeof error === 'object' && error !== null && 'code' in error && error.code === 'ERR_DLOPEN_DISABLED';

function candidates(library: 'glibc' | 'musl'): Candidate[] {
  const target = `${process.arch}-${library}`;
  const made = library === 'glibc' ? 'glibc 2.28 and later' : 'musl';
  return [
    {
      file: 'native/build/Release/grpcfd.node',
      madeFor: 'the machine that it was built on',
      load: () => open(join(__dirname, '../../native/build/Release/grpcfd.node')),
    },
    {
      file: `prebuilds/linux-${target}/grpcfd.node`,
      madeFor: `Linux on ${process.arch} with ${made}`,
      load: () => loadPrebuilt(target),
    },
  ];
}

function loadPrebuilt(target: string): unknown {
  switch (target) {
    case 'x64-glibc':
      return require('../../prebuilds/linux-x64-glibc/grpcfd.node');
    case 'arm64-glibc':
      return require('../../prebuilds/linux-arm64-glibc/grpcfd.node');
    case 'x64-musl':
      return require('../../prebuilds/linux-x64-musl/grpcfd.node');
    default:
      return require('../../prebuilds/linux-arm64-musl/grpcfd.node');
  }
}

/** A single executable has no `require` of files. */
function open(path: string): unknown {
  const addon = { exports: {} };
  process.dlopen(addon, path, constants.dlopen.RTLD_LAZY);
  return addon.exports;
}

/** An addon beside a bundle, or in GRPCFD_ADDON, is easily left where it is when the package is updated. */
function ofThisVersion(addon: unknown): unknown {
  const { version } = addon as Versioned;
  if (version === VERSION) return addon;
  throw new Error(`it is not the addon of grpcfd ${VERSION}, but of ${version ?? 'another version'}`);
}

/** The system would look for a name without a folder among its libraries. */
function loadChosen(path: string): unknown {
  try {
    return ofThisVersion(open(resolve(path)));
  } catch (error) {
    const failure = `  ${path}, named by the environment variable ${VARIABLE}: ${firstLine(error)}`;
    throw notLoaded([failure, ...(isForbidden(error) ? PERMISSION : [])], [error]);
  }
}

/**
 * Bun and Deno run programs of Node.js, but lack parts of libuv. The addon crashes there, or loses descriptors. A Node.js that is too old
 * would fail at some later call. It is known by a function that each supported version has.
 */
function assertNode(): void {
  const other = ['bun', 'deno'].find((name) => process.versions[name] !== undefined);
  if (other !== undefined) {
    throw new GrpcFdError(
      'ERR_GRPCFD_ADDON_NOT_LOADED',
      `grpcfd needs Node.js. It does not run in ${other === 'bun' ? 'Bun' : 'Deno'}, which lacks parts of libuv that the native addon uses`,
    );
  }
  if (typeof process.getBuiltinModule === 'function') return;
  throw new GrpcFdError(
    'ERR_GRPCFD_ADDON_NOT_LOADED',
    `grpcfd needs Node.js 20.19, or 22.12 or later. This is ${process.version}`,
  );
}

/**
 * The C library that is mapped into this process. Only the files of glibc have these names: `libc.so.6`, or `libc-2.31.so` before 2.34. An
 * update of the system deletes the file of a process that runs, and the map says so. The loader of musl can have any name, because some
 * systems replace it by a link to `libc.so`. An addon that can be loaded does not tell the C library: musl takes each library whose name
 * begins with `libc.` for itself.
 */
function cLibrary(): 'glibc' | 'musl' {
  let isGlibc: boolean;
  try {
    const maps: unknown = readFileSync('/proc/self/maps', 'utf8');
    if (typeof maps !== 'string') throw new TypeError('a test has mocked node:fs');
    isGlibc = /\/libc(-2\.\d+\.so|\.so\.6)( \(deleted\))?$/m.test(maps);
  } catch {
    // Without /proc, the report of Node.js tells. It takes some milliseconds.
    isGlibc = 'glibcVersionRuntime' in (process.report.getReport() as Report).header;
  }
  return isGlibc ? 'glibc' : 'musl';
}

function notLoaded(details: readonly string[], causes: unknown[]): GrpcFdError {
  const where = `the native addon could not be loaded on ${process.platform}-${process.arch}, Node.js ${process.version}. Tried:`;
  return new GrpcFdError('ERR_GRPCFD_ADDON_NOT_LOADED', [where, ...details].join('\n'), {
    cause: new AggregateError(causes, 'no file could be loaded'),
  });
}

/** The error of a failed require() has the require stack after its first line. */
function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split('\n', 1)[0] ?? '';
}
