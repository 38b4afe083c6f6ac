import { constants } from 'node:fs';
import { GrpcFdError } from '../errors.js';
import { native, O_PATH } from '../native/binding.js';
import type { FileKind } from '../native/file-types.js';
import { accessOf, type FileAccess } from './file-kind.js';
import { inodeToUrl } from './inode-url.js';

/** What the kernel tells of an open file. */
export interface FileLook {
  readonly url: string;
  readonly kind: FileKind;
  readonly access: FileAccess;
  readonly append: boolean;
  readonly pathOnly: boolean;
  readonly isBlockDevice: boolean;
  readonly device: readonly [major: number, minor: number];
}

/**
 * Looks at a descriptor, which stays the caller's.
 *
 * @throws GrpcFdError `ERR_GRPCFD_RECEIVE_FAILED`. Its cause is the failed syscall.
 */
export function lookAt(fd: number): FileLook {
  try {
    const description = native.describe(fd);
    const { inode, kind, flags, isBlockDevice, device } = description;
    return {
      url: inodeToUrl(inode),
      kind,
      access: accessOf(description),
      append: (flags & constants.O_APPEND) !== 0,
      pathOnly: (flags & O_PATH) !== 0,
      isBlockDevice,
      device,
    };
  } catch (cause) {
    const text = `the kernel does not tell what the received descriptor is: ${(cause as Error).message}`;
    throw new GrpcFdError('ERR_GRPCFD_RECEIVE_FAILED', text, { cause });
  }
}
