/**
 * Adds `fd:` targets: sockets that are open already.
 *
 * grpc-js connects and listens by itself, with net.connect() and net.Server.listen() of the address that a resolver gives. Both take a
 * `handle` from that address. A connect with this handle completes at once and has no descriptor: the connector of our credentials,
 * which gets the socket next, brings the connection. So its errors are those of the connector, with their texts. Our HTTP/2 servers
 * know the address by its handle. Everybody else fails on it: a channel with other credentials at the connect, and a server of stock at
 * the `fd` of the handle, which it would listen on.
 */

import { readFileSync } from 'node:fs';
import * as grpc from '@grpc/grpc-js';
import { GrpcFdError } from '../../errors.js';
import { changed, hidden } from '../../internals/hidden.js';
import { type ConnectRequest, isClaimed, OwnHandle } from './own-handle.js';

type ResolverArguments = Parameters<typeof grpc.experimental.createResolver>;
type Target = ResolverArguments[0];

export const FD_SCHEME = 'fd';

/** A connect that our connector completes. */
export class FdTargetHandle extends OwnHandle {
  readonly #target: Target;

  constructor(target: Target) {
    super();
    this.#target = target;
  }

  /** What stands behind `fd:`. */
  get path(): string {
    return this.#target.path;
  }

  /** net.Server reads it when it is to listen. */
  get fd(): never {
    throw wrongCredentials(this.path, 'bindAsync() of it takes grpcfd.serverCredentials()');
  }

  connect(request: ConnectRequest): number {
    if (isClaimed(this.#target)) return this.complete(request, 0);
    throw wrongCredentials(this.path, 'a channel to it takes grpcfd.channelCredentials()');
  }
}

class FdResolver {
  static getDefaultAuthority(): string {
    return 'localhost';
  }

  readonly #unix: grpc.experimental.Resolver;

  constructor(target: Target, listener: ResolverArguments[1], options: ResolverArguments[2]) {
    if (isInheritedNumber(target.path)) keepInheritedOverIdleness();
    this.#unix = grpc.experimental.createResolver(
      { scheme: 'unix', path: `${FD_SCHEME}:${target.path}` },
      listener,
      options,
    );
    const address = hidden<{ addresses: object[] }[]>(this.#unix, 'endpoints')?.[0]?.addresses[0];
    if (address === undefined) throw changed("the endpoints of grpc-js's resolver for unix targets");
    Object.defineProperty(address, 'handle', { enumerable: true, get: () => new FdTargetHandle(target) });
  }

  updateResolution(): void {
    this.#unix.updateResolution();
  }

  destroy(): void {
    this.#unix.destroy();
  }
}

let resolverRegistered = false;

/** Makes `fd:` a scheme of grpc-js, in this process, for channels and for bindAsync(). */
export function registerFdResolver(): void {
  if (resolverRegistered) return;
  resolverRegistered = true;
  grpc.experimental.registerResolver(FD_SCHEME, FdResolver);
}

/** What stands behind `fd:` if that is the target. */
export function fdOfTarget(target: Target): string | undefined {
  return target.scheme === FD_SCHEME ? target.path : undefined;
}

/** What stands behind `fd:` if `address` is one that our resolver gave to a server. */
export function fdOfAddress(address: object): string | undefined {
  const handle = hidden<unknown>(address, 'handle');
  return handle instanceof FdTargetHandle ? handle.path : undefined;
}

export function isInheritedNumber(path: string): boolean {
  return /^\d+$/.test(path);
}

/**
 * The descriptor of the channel to the process that forked this one. `process.channel` does not have it in its type. A worker has no
 * `process.channel`, but the process has the environment that it was started with, with the number in it.
 */
export function ipcChannel(): number | undefined {
  const { channel } = process;
  if (channel !== undefined) return hidden<number>(channel, 'fd');
  // To import this module with the others would take a millisecond of every start.
  return process.getBuiltinModule('node:worker_threads').isMainThread ? undefined : channelAtStart();
}

/** Node deletes the variable from `process.env`. */
function channelAtStart(): number | undefined {
  try {
    const [, number] =
      /(?:^|\0)NODE_CHANNEL_FD=(\d+)/.exec(readFileSync('/proc/self/environ', 'latin1')) ?? [];
    return number === undefined ? undefined : Number(number);
  } catch {
    return undefined; // Without /proc, only the main thread knows.
  }
}

interface InternalChannel {
  readonly target: Target;
  enterIdle(): void;
}

let keepsInherited = false;

/**
 * A channel without calls drops its connection after `grpc.client_idle_timeout_ms`, by default half an hour, and makes another one for
 * its next call. An inherited connection cannot be made again, so channels to one do not become idle.
 */
function keepInheritedOverIdleness(): void {
  if (keepsInherited) return;
  // The class of a channel's inner part is not exported.
  const sample = new grpc.Channel('unix:grpcfd', grpc.credentials.createInsecure(), {
    'grpc.enable_channelz': 0,
  });
  const inner = hidden<object>(sample, 'internalChannel');
  sample.close();
  const prototype = inner === undefined ? undefined : (Object.getPrototypeOf(inner) as InternalChannel);
  if (prototype === undefined || typeof prototype.enterIdle !== 'function') {
    throw changed('enterIdle of the internal channel of a grpc.Channel');
  }
  keepsInherited = true;
  const { enterIdle } = prototype;
  prototype.enterIdle = function (this: InternalChannel) {
    const { scheme, path } = this.target;
    if (scheme !== FD_SCHEME || !isInheritedNumber(path)) enterIdle.call(this);
  };
}

function wrongCredentials(path: string, wanted: string): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_INVALID_ARGUMENT',
    `${FD_SCHEME}:${path} is a socket that is open already: ${wanted}`,
  );
}
