/**
 * Adds the peer to what `getAuthContext()` of a handler's call gives.
 *
 * The calls of interceptors pass `getAuthContext()` on to the last one, of the class BaseServerInterceptingCall, which has the HTTP/2
 * stream. grpc-js does not export that class, so it is taken from its file. Where that is packed up, as in some bundles, `getAuthContext()`
 * gives what grpc-js tells. A handler finds the peer in `fromCall(call).connection` in any case.
 */

import type { ServerHttp2Stream } from 'node:http2';

interface CallClass {
  readonly prototype: { readonly stream?: ServerHttp2Stream; getAuthContext?(): object };
}

/** It is found at the import, like all code: a process may change its root before its first connection. */
const callClass = callClassOfGrpc();
let replaced = false;

/** From now on, what `find` gives for the stream of a call is the property `unixPeer` of its auth context, unless it is undefined. */
export function addPeerToAuthContext(find: (stream: ServerHttp2Stream) => object | undefined): void {
  if (replaced) return;
  replaced = true;
  const prototype = callClass?.prototype;
  const original = prototype?.getAuthContext;
  if (prototype === undefined || original === undefined) return;
  prototype.getAuthContext = function (this: typeof prototype) {
    const context = original.call(this);
    const unixPeer = this.stream && find(this.stream);
    return unixPeer === undefined ? context : { ...context, unixPeer };
  };
}

function callClassOfGrpc(): CallClass | undefined {
  try {
    const file = require('@grpc/grpc-js/build/src/server-interceptors.js') as {
      BaseServerInterceptingCall?: CallClass;
    };
    return file.BaseServerInterceptingCall;
  } catch {
    return undefined;
  }
}
