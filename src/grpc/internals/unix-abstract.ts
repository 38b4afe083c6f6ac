/**
 * Adds `unix-abstract:` targets.
 *
 * grpc-js has no resolver for them. Its resolver for `unix:` makes addresses in the form that the installed version needs, so the one
 * here uses that. Node 20 pads an abstract name with NULs up to the length of the address, and other programs do not find it then
 * (nodejs/node issue 50889). There, the address also has a `handle` (`own-handle.ts`), which connects to the exact name. Where the addon is
 * not supported, both ends have the padded name.
 */

import { constants as systemConstants } from 'node:os';
import * as grpc from '@grpc/grpc-js';
import { GrpcFdError } from '../../errors.js';
import { changed, hidden } from '../../internals/hidden.js';
import { native, supported } from '../../native/binding.js';
import { type ConnectRequest, isClaimed, OwnHandle } from './own-handle.js';

export const UNIX_ABSTRACT_SCHEME = 'unix-abstract';

const NODE_PADS_ABSTRACT_NAMES = Number(process.versions.node.split('.')[0]) < 22;

/** Connects to an abstract name, exactly as it is. */
export class UnixHandle extends OwnHandle {
  fd = -1;
  readonly #target: object;

  constructor(target: object) {
    super();
    this.#target = target;
  }

  connect(request: ConnectRequest, path: string): number {
    if (!isClaimed(this.#target)) throw wrongCredentials();
    let status = 0;
    try {
      this.fd = native.connectUnix(Buffer.from(path));
    } catch (error) {
      status = errnoOf(error as Error);
    }
    return this.complete(request, status);
  }

  override close(callback?: () => void): void {
    if (this.fd >= 0) native.close(this.fd);
    this.fd = -1;
    super.close(callback);
  }
}

type ResolverArguments = Parameters<typeof grpc.experimental.createResolver>;

class UnixAbstractResolver {
  static getDefaultAuthority(): string {
    return 'localhost';
  }

  readonly #unix: grpc.experimental.Resolver;

  constructor(target: ResolverArguments[0], listener: ResolverArguments[1], options: ResolverArguments[2]) {
    this.#unix = grpc.experimental.createResolver(
      { scheme: 'unix', path: `\0${target.path}` },
      listener,
      options,
    );
    if (NODE_PADS_ABSTRACT_NAMES && supported) {
      const address = hidden<{ addresses: object[] }[]>(this.#unix, 'endpoints')?.[0]?.addresses[0];
      if (address === undefined) throw changed("the endpoints of grpc-js's resolver for unix targets");
      Object.defineProperty(address, 'handle', { enumerable: true, get: () => new UnixHandle(target) });
    }
  }

  updateResolution(): void {
    this.#unix.updateResolution();
  }

  destroy(): void {
    this.#unix.destroy();
  }
}

let resolverRegistered = false;

/** Makes `unix-abstract:` a scheme of grpc-js, in this process, for channels and for bindAsync(). */
export function registerUnixAbstractResolver(): void {
  if (resolverRegistered) return;
  resolverRegistered = true;
  grpc.experimental.registerResolver(UNIX_ABSTRACT_SCHEME, UnixAbstractResolver);
}

function wrongCredentials(): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_INVALID_ARGUMENT',
    'before version 22 of Node.js, a channel to a unix-abstract: target takes grpcfd.channelCredentials()',
  );
}

function errnoOf(error: Error): number {
  const { errno } = error as NodeJS.ErrnoException;
  return typeof errno === 'number' && errno < 0 ? errno : -systemConstants.errno.EPIPE;
}
