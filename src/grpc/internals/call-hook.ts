/**
 * Learns the course of a client call.
 *
 * An interceptor cannot be used for that, because the interceptors of a call replace those of its client. The call object of the channel
 * takes part in all calls: those that are cancelled, never get a connection, are retried or hedged.
 */

import * as grpc from '@grpc/grpc-js';
import { changed } from '../../internals/hidden.js';

/** Is told the course of a client call. Each method is called at most once, in this order. */
export interface CallObserver {
  started(): void;
  /**
   * The first response headers have come, so no further attempt can follow. It is not called for a response without headers. Metadata
   * that the observer removes does not reach the user.
   */
  committed(headers: grpc.Metadata): void;
  /** `trailers` are the server's, or empty; see {@link committed}. */
  ended(trailers: grpc.Metadata): void;
}

interface ChannelCall {
  setCredentials(credentials: grpc.CallCredentials): void;
  start(metadata: grpc.Metadata, listener: ChannelCallListener): void;
  cancelWithStatus(status: grpc.status, details: string): void;
}

interface ChannelCallListener {
  onReceiveMetadata(metadata: grpc.Metadata): void;
  onReceiveMessage(message: unknown): void;
  onReceiveStatus(status: grpc.StatusObject): void;
}

/** Returns the credentials to use instead, and an observer for the call. With undefined, the call stays as it is. */
export type CallHook = (
  credentials: grpc.CallCredentials,
) => { credentials: grpc.CallCredentials; observer: CallObserver } | undefined;

let callHookInstalled = false;

/** Calls `hook` for every call with credentials of its own, on any channel of this process. */
export function installCallHook(hook: CallHook): void {
  if (callHookInstalled) return;
  callHookInstalled = true;
  // The class of the call object is not exported. It is found from the first call that a channel creates.
  const channel = grpc.Channel.prototype as unknown as { createCall(...args: unknown[]): ChannelCall };
  const createCall = channel.createCall;
  if (typeof createCall !== 'function') throw changed('Channel.createCall');
  let hooked = false;
  function createCallOnce(this: unknown, ...args: unknown[]): ChannelCall {
    const call = createCall.apply(this, args);
    // A second copy of this package may have wrapped this function. Then it stays in place.
    if (channel.createCall === createCallOnce) channel.createCall = createCall;
    if (!hooked) hookCallClass(call, hook);
    hooked = true;
    return call;
  }
  channel.createCall = createCallOnce;
}

function hookCallClass(sample: ChannelCall, hook: CallHook): void {
  const prototype = Object.getPrototypeOf(sample) as ChannelCall;
  const { setCredentials, start, cancelWithStatus } = prototype;
  if ([setCredentials, start, cancelWithStatus].some((each) => typeof each !== 'function')) {
    throw changed("setCredentials, start and cancelWithStatus of a channel's call");
  }
  prototype.setCredentials = function (this: ChannelCall, credentials) {
    const hooked = hook(credentials);
    setCredentials.call(this, hooked === undefined ? credentials : hooked.credentials);
    if (hooked === undefined) return;
    observe(this, hooked.observer);
    this.cancelWithStatus = (status, details) => {
      setCredentials.call(this, CANCELLED);
      cancelWithStatus.call(this, status, details);
    };
  };
}

/**
 * A call that is cancelled in the turn in which it starts, or whose deadline has passed by then, has a status. grpc-js starts its stream
 * all the same, and never ends it: the handler runs, and the server holds the descriptors of the call, until one of them ends the connection. The
 * credentials are read again before that, and these refuse to go on. They change nothing of a call whose attempts have begun.
 */
class CancelledCallCredentials extends grpc.CallCredentials {
  override generateMetadata(): Promise<grpc.Metadata> {
    const error = new Error('the call was cancelled before it started');
    return Promise.reject(Object.assign(error, { code: grpc.status.CANCELLED }));
  }

  override compose(): grpc.CallCredentials {
    return this;
  }

  override _equals(other: grpc.CallCredentials): boolean {
    return this === other;
  }
}

const CANCELLED = new CancelledCallCredentials();

function observe(call: ChannelCall, observer: CallObserver): void {
  const { start } = call;
  call.start = function (this: ChannelCall, metadata, listener) {
    observer.started();
    start.call(this, metadata, {
      onReceiveMetadata(received) {
        observer.committed(received);
        listener.onReceiveMetadata(received);
      },
      onReceiveMessage(message) {
        listener.onReceiveMessage(message);
      },
      onReceiveStatus(status) {
        observer.ended(status.metadata);
        listener.onReceiveStatus(status);
      },
    });
  };
}
