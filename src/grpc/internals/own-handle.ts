/**
 * What stands in the place of a Pipe in a net.Socket of grpc-js.
 *
 * net.connect() takes a `handle` from the address that it is given, and uses it instead of one that it makes (`lib/net.js`, the
 * constructor of Socket). grpc-js gives the connected socket away in the turn of its 'connect', so only these methods are called.
 */

import { setImmediate } from '../../timers.js';

export interface ConnectRequest {
  oncomplete(status: number, handle: unknown, request: unknown, readable: boolean, writable: boolean): void;
}

/** The targets whose channels have our credentials. grpc-js gives the same object to the resolver and to the credentials. */
const ownTargets = new WeakSet<object>();

/** Allows connects to this object with a handle of ours: the connector that gets the socket takes it over. */
export function claimTarget(target: object): void {
  ownTargets.add(target);
}

/** Other credentials would read from the handle and write to it. */
export function isClaimed(target: object): boolean {
  return ownTargets.has(target);
}

/** A handle from which nothing is read, because the connection is taken over as soon as the socket has connected. */
export abstract class OwnHandle {
  reading = false;

  abstract connect(request: ConnectRequest, path: string): number;

  protected complete(request: ConnectRequest, status: number): number {
    setImmediate(() => request.oncomplete(status, this, request, true, true));
    return 0;
  }

  readStart(): number {
    return 0;
  }

  readStop(): number {
    return 0;
  }

  close(callback?: () => void): void {
    if (callback !== undefined) setImmediate(callback);
  }

  ref(): void {}

  unref(): void {}
}
