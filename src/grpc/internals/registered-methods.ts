/** grpc.Server keeps the handlers of its methods in the map `handlers`, by their paths (`server.ts`), and does not tell which it has. */
import type * as grpc from '@grpc/grpc-js';
import { changed, hidden } from '../../internals/hidden.js';

/** The paths of the methods that `server` has now: `/pkg.Service/Method`. */
export function registeredMethods(server: grpc.Server): string[] {
  const handlers = hidden<Map<string, unknown>>(server, 'handlers');
  if (!(handlers instanceof Map)) throw changed('grpc.Server.handlers');
  return [...handlers.keys()];
}
