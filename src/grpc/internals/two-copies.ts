/**
 * Tells a user who has two copies of grpc-js what is wrong.
 *
 * The classes of one copy are not those of the other. So a client of the other copy refuses our credentials with "must be a
 * ChannelCredentials object", or it takes call credentials, never asks for what they bring, and drops it in silence. Only who calls tells
 * that there is another copy: its file is in the stack. Where files tell nothing, as in a bundle, the texts of grpc-js stand.
 */

import { dirname } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { GrpcFdError } from '../../errors.js';

const CLASSES = {
  ChannelCredentials: grpc.ChannelCredentials,
  ServerCredentials: grpc.ServerCredentials,
  CallCredentials: grpc.CallCredentials,
} as const;

const FILE_OF_A_COPY = /^(.*?[\\/]@grpc[\\/]grpc-js)[\\/]build[\\/]src[\\/]/s;

/** Has an `instanceof` of another copy throw the error that says so. `prototype` is that of a class that extends one of grpc-js. */
export function explainToOtherCopies(prototype: object): void {
  const parent = Object.getPrototypeOf(prototype) as object;
  // `instanceof` asks each object of the chain for its prototype, and is at its end with the parent if the class is ours.
  const asked = () => {
    const other = callingCopy();
    if (other !== undefined) throw twoCopies(other);
    return parent;
  };
  Object.setPrototypeOf(prototype, new Proxy(parent, { getPrototypeOf: asked }));
}

/** The error for `value` if another copy of grpc-js has made it, and undefined otherwise. `name` is that of its class. */
export function fromOtherCopy(value: unknown, name: keyof typeof CLASSES): GrpcFdError | undefined {
  if (typeof value !== 'object' || value === null || value instanceof CLASSES[name]) return undefined;
  for (let next = Object.getPrototypeOf(value); next !== null; next = Object.getPrototypeOf(next)) {
    if (next.constructor?.name === name) return twoCopies(loadedCopies()[0]);
  }
  return undefined;
}

/** The error for a call of another copy, which has called the function that calls this; or undefined. */
export function calledByOtherCopy(): GrpcFdError | undefined {
  const other = callingCopy();
  return other === undefined ? undefined : twoCopies(other);
}

function callingCopy(): string | undefined {
  const own = ownCopy();
  if (own === undefined) return undefined;
  return callingFiles()
    .map((file) => FILE_OF_A_COPY.exec(file)?.[1])
    .find((copy) => copy !== undefined && copy !== own);
}

/**
 * The files of the functions that run, the innermost first. They cannot be read from the text of a stack, because a path may have blanks
 * and brackets, and a program may have replaced that text by something else.
 */
function callingFiles(): string[] {
  const { prepareStackTrace, stackTraceLimit } = Error;
  try {
    Error.stackTraceLimit = 10;
    Error.prepareStackTrace = (_error, sites) => sites.map((site) => site.getFileName() ?? '');
  } catch {
    return []; // With --frozen-intrinsics.
  }
  try {
    const files: unknown = new Error('who calls').stack;
    return Array.isArray(files) ? files : [];
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
    Error.prepareStackTrace = prepareStackTrace;
  }
}

/** The folder of the copy that this package uses. To find it takes longer than all else here. */
let folder: string | undefined;
function ownCopy(): string | undefined {
  try {
    folder ??= dirname(dirname(dirname(require.resolve('@grpc/grpc-js'))));
  } catch {
    // In a bundle.
  }
  return folder;
}

/** The folders of the other copies that the process has loaded. */
function loadedCopies(): string[] {
  const own = ownCopy();
  return Object.keys(require.cache ?? {})
    .filter((file) => /build[\\/]src[\\/]index\.js$/.test(file))
    .map((file) => FILE_OF_A_COPY.exec(file)?.[1])
    .filter((copy) => copy !== undefined && copy !== own) as string[];
}

function twoCopies(other = 'another one'): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_TWO_COPIES',
    `two copies of @grpc/grpc-js are in use: grpcfd uses ${ownCopy() ?? 'one'}, and this program uses ${other}. ` +
      'Their classes are not the same. Have one copy installed for both: npm ls @grpc/grpc-js tells who brings each',
  );
}
