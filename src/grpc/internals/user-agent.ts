/**
 * Tells calls of other gRPC libraries from those of grpc-js. Its transport puts `grpc-node-js/<version>` into the user agent of each call, and an application
 * can only add text before and behind it (`grpc.primary_user_agent`, `grpc.secondary_user_agent`). The transport does so after it has read
 * the metadata of the call, which therefore cannot replace it (`transport.js`).
 */

import type { IncomingHttpHeaders } from 'node:http2';

/**
 * Whether the HEADERS of a call name another library than grpc-js, which is the only one that this package runs in. False where they name
 * none.
 */
export function isFromOtherLibrary(headers: IncomingHttpHeaders): boolean {
  return headers['user-agent']?.includes('grpc-node-js/') === false;
}
