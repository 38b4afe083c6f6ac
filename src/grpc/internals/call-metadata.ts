/**
 * A call's metadata, made at the moment at which its stream starts.
 *
 * Which connection a call takes is only certain inside session.request(): a slow call credential and a reconnect part what
 * was known before from what happens. Metadata values are handed on as they are until Node turns each into a string, right
 * there, once. So the value is an object whose toString() does the work.
 */

import * as grpc from '@grpc/grpc-js';
import { changed, hidden } from './hidden.js';

/** Sets a metadata value that `make` computes inside the session.request() that starts the call's stream. */
export function setMetadataAtStreamStart(metadata: grpc.Metadata, key: string, make: () => string): void {
  const values = hidden<Map<string, unknown[]>>(metadata, 'internalRepr');
  if (!(values instanceof Map)) throw changed('Metadata.internalRepr');
  let made: string | undefined;
  const value = {
    toString() {
      made ??= make();
      return made;
    },
    toJSON: () => '(made when the stream starts)',
  };
  values.set(key, [value]);
}

/** `CallCredentials.createEmpty()` is not abstract and not exported: an instance is how grpc-js knows "no credentials". */
const EmptyCallCredentials = grpc.credentials.createEmpty().constructor as new () => grpc.CallCredentials;

export function isEmptyCallCredentials(credentials: grpc.CallCredentials): boolean {
  return credentials instanceof EmptyCallCredentials;
}

/** The credentials that a composed CallCredentials is made of; for any other, itself. */
export function componentsOf(credentials: grpc.CallCredentials): readonly grpc.CallCredentials[] {
  const components = hidden<grpc.CallCredentials[]>(credentials, 'creds');
  return Array.isArray(components) ? components.flatMap(componentsOf) : [credentials];
}
