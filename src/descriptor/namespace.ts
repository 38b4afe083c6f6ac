import { constants } from 'node:fs';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';
import type { FileKind } from '../native/file-types.js';
import { assertKind } from './file-kind.js';
import { urlToDevIno } from './inode-url.js';

/** The types of namespaces, with the names that they have in /proc/PID/ns. `unknown`: what a later kernel has. */
export type NamespaceType = 'net' | 'mnt' | 'pid' | 'user' | 'uts' | 'ipc' | 'cgroup' | 'time' | 'unknown';

/** A namespace: the result of {@link ReceivedFile.namespace}. */
export interface Namespace {
  /** What it separates. */
  readonly type: NamespaceType;
  /**
   * The number of the namespace, which /proc/PID/ns shows: `net:[4026531833]`. Two descriptors of one number are of one namespace, as long
   * as one of them is open. Later, the kernel may give the number to another one.
   */
  readonly id: number;
}

/** By the flag of clone(2). */
const TYPES: Readonly<Record<number, NamespaceType>> = {
  128: 'time',
  [0x0002_0000]: 'mnt',
  [0x0200_0000]: 'cgroup',
  [0x0400_0000]: 'uts',
  [0x0800_0000]: 'ipc',
  [0x1000_0000]: 'user',
  [0x2000_0000]: 'pid',
  [0x4000_0000]: 'net',
};

/** Files of the kernel alone are on the device of namespaces, so the answer is the kernel's. None of the calls has to wait. */
export function namespaceOf(file: {
  readonly fd: number;
  readonly url: string;
  readonly kind: FileKind;
  readonly pathOnly: boolean;
}): Namespace {
  const { fd, url, pathOnly } = file;
  assertKind(file, 'namespace', 'namespace()');
  try {
    const flag = pathOnly ? typeOpenedAnew(fd) : native.namespaceType(fd);
    return { type: TYPES[flag] ?? 'unknown', id: Number(urlToDevIno(url).ino) };
  } catch (cause) {
    const text = `the kernel does not tell what namespace ${url} is: ${(cause as Error).message}`;
    throw new GrpcFdError('ERR_GRPCFD_OPEN_FAILED', text, { cause });
  }
}

/** The kernel tells nothing of what is open with O_PATH. Anybody may open a namespace to read. */
function typeOpenedAnew(fd: number): number {
  const own = native.open(`/proc/self/fd/${fd}`, constants.O_RDONLY, 0);
  try {
    return native.namespaceType(own);
  } finally {
    native.close(own);
  }
}
