/**
 * Makes metadata of a call at the moment at which its stream starts.
 *
 * The connection of a call is certain only inside session.request(): a slow token or a reconnect can change it after the subchannel was
 * picked. grpc-js passes metadata values on unchanged, and Node turns each of them into a string inside session.request(), once. So the
 * value is an object whose toString() does the work.
 */

import * as grpc from '@grpc/grpc-js';
import { changed, hidden } from './hidden.js';

/** A metadata value that is made when a stream starts. Each stream has its own, so it also tells streams apart. */
export interface ValueAtStreamStart {
  toString(): string;
}

/** Sets a metadata value that `make` computes inside the session.request() that starts the call's stream. Returns that value. */
export function setMetadataAtStreamStart(
  metadata: grpc.Metadata,
  key: string,
  make: () => string,
): ValueAtStreamStart {
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
  return value;
}

/** The class of `createEmpty()`, which is not exported. grpc-js knows by an instance of it that there are no credentials. */
const EmptyCallCredentials = grpc.credentials.createEmpty().constructor as new () => grpc.CallCredentials;

export function isEmptyCallCredentials(credentials: grpc.CallCredentials): boolean {
  return credentials instanceof EmptyCallCredentials;
}

/** The credentials of which a composed CallCredentials is made. For any other, itself. */
export function componentsOf(credentials: grpc.CallCredentials): readonly grpc.CallCredentials[] {
  const components = hidden<grpc.CallCredentials[]>(credentials, 'creds');
  return Array.isArray(components) ? components.flatMap(componentsOf) : [credentials];
}
