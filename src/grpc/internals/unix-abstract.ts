/**
 * Adds `unix-abstract:` targets.
 *
 * grpc-js has no resolver for them. Its resolver for `unix:` makes addresses in the form that the installed version needs, so the one
 * here uses that. Node 20 pads an abstract name with NULs up to the length of the address, and other programs do not find it then
 * (nodejs/node issue 50889). There, the address also has a `handle`, which net.connect() uses instead of a Pipe, and which connects to the
 * exact name.
 */

import { constants as systemConstants } from 'node:os';
import * as grpc from '@grpc/grpc-js';
import { native } from '../../native/binding.js';
import { setImmediate } from '../../timers.js';
import { changed, hidden } from './hidden.js';

const NODE_PADS_ABSTRACT_NAMES = Number(process.versions.node.split('.')[0]) < 22;

/** The part of a handle that a net.Socket uses until grpc-js gives the connected socket away. */
export class UnixHandle {
  fd = -1;
  reading = false;

  connect(
    request: {
      oncomplete(
        status: number,
        handle: unknown,
        request: unknown,
        readable: boolean,
        writable: boolean,
      ): void;
    },
    path: string,
  ): number {
    let status = 0;
    try {
      this.fd = native.connectUnix(Buffer.from(path));
    } catch (error) {
      status = errnoOf(error as Error);
    }
    setImmediate(() => request.oncomplete(status, this, request, true, true));
    return 0;
  }

  /** It does nothing, because the socket is taken over as soon as it has connected. */
  readStart(): number {
    return 0;
  }

  readStop(): number {
    return 0;
  }

  close(callback?: () => void): void {
    if (this.fd >= 0) native.close(this.fd);
    this.fd = -1;
    if (callback !== undefined) setImmediate(callback);
  }

  ref(): void {}

  unref(): void {}
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
    if (NODE_PADS_ABSTRACT_NAMES) {
      const address = hidden<{ addresses: object[] }[]>(this.#unix, 'endpoints')?.[0]?.addresses[0];
      if (address === undefined) throw changed("the endpoints of grpc-js's resolver for unix targets");
      Object.defineProperty(address, 'handle', { enumerable: true, get: () => new UnixHandle() });
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
  grpc.experimental.registerResolver('unix-abstract', UnixAbstractResolver);
}

function errnoOf(error: Error): number {
  const { errno } = error as NodeJS.ErrnoException;
  return typeof errno === 'number' && errno < 0 ? errno : -systemConstants.errno.EPIPE;
}
