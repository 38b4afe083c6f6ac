/**
 * The course of a client call.
 *
 * No interceptor can be used to learn of a call's end: interceptors of a call replace those of its client. The channel's
 * call object sees all: cancelled calls, calls that never got a connection, retries, hedges.
 */

import * as grpc from '@grpc/grpc-js';
import { changed } from './hidden.js';

/** What is told of a client call. Each is called at most once, in this order. */
export interface CallObserver {
  started(): void;
  /**
   * The first response headers came: no further attempt can follow. Not called for a response without headers. What is taken
   * out of the metadata does not reach the user.
   */
  committed(headers: grpc.Metadata): void;
  /** `trailers` are the server's, or empty; see {@link committed}. */
  ended(trailers: grpc.Metadata): void;
}

interface ChannelCall {
  setCredentials(credentials: grpc.CallCredentials): void;
  start(metadata: grpc.Metadata, listener: ChannelCallListener): void;
}

interface ChannelCallListener {
  onReceiveMetadata(metadata: grpc.Metadata): void;
  onReceiveMessage(message: unknown): void;
  onReceiveStatus(status: grpc.StatusObject): void;
}

/** Gives the credentials to use instead, and who is to be told of the call's course; undefined leaves the call alone. */
export type CallHook = (
  credentials: grpc.CallCredentials,
) => { credentials: grpc.CallCredentials; observer: CallObserver } | undefined;

let callHookInstalled = false;

/** Has `hook` asked about every call that is given credentials of its own, on any channel of this process. */
export function installCallHook(hook: CallHook): void {
  if (callHookInstalled) return;
  callHookInstalled = true;
  // The class of the call object is not exported: the first call that a channel creates shows it.
  const channel = grpc.Channel.prototype as unknown as { createCall(...args: unknown[]): ChannelCall };
  const createCall = channel.createCall;
  if (typeof createCall !== 'function') throw changed('Channel.createCall');
  let hooked = false;
  function createCallOnce(this: unknown, ...args: unknown[]): ChannelCall {
    const call = createCall.apply(this, args);
    // A second copy of this package may have wrapped this in turn: then it stays where it is.
    if (channel.createCall === createCallOnce) channel.createCall = createCall;
    if (!hooked) hookCallClass(call, hook);
    hooked = true;
    return call;
  }
  channel.createCall = createCallOnce;
}

function hookCallClass(sample: ChannelCall, hook: CallHook): void {
  const prototype = Object.getPrototypeOf(sample) as ChannelCall;
  const { setCredentials } = prototype;
  if (typeof setCredentials !== 'function' || typeof prototype.start !== 'function') {
    throw changed("setCredentials and start of a channel's call");
  }
  prototype.setCredentials = function (this: ChannelCall, credentials) {
    const hooked = hook(credentials);
    setCredentials.call(this, hooked === undefined ? credentials : hooked.credentials);
    if (hooked !== undefined) observe(this, hooked.observer);
  };
}

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
