/**
 * Makes metadata of a call at the moment at which its stream starts.
 *
 * The connection of a call is certain only inside session.request(): a slow token or a reconnect can change it after the subchannel was
 * picked. grpc-js passes metadata values on unchanged, and Node turns each of them into a string inside session.request(), once. So the
 * value is an object whose toString() does the work.
 */

import * as grpc from '@grpc/grpc-js';
import { changed, hidden } from '../../internals/hidden.js';

/** A metadata value that is made when a stream starts. Each stream has its own, so it also tells streams apart. */
export interface ValueAtStreamStart {
  toString(): string;
}

/** A header value that `make` computes inside the session.request() that starts the stream. */
export function valueAtStreamStart(make: () => string): ValueAtStreamStart {
  let made: string | undefined;
  const value = {
    toString() {
      made ??= make();
      return made;
    },
    toJSON: () => '(made when the stream starts)',
  };
  return value;
}

/** Sets a metadata value that `make` computes inside the session.request() that starts the call's stream. Returns that value. */
export function setMetadataAtStreamStart(
  metadata: grpc.Metadata,
  key: string,
  make: () => string,
): ValueAtStreamStart {
  const values = hidden<Map<string, unknown[]>>(metadata, 'internalRepr');
  if (!(values instanceof Map)) throw changed('Metadata.internalRepr');
  const value = valueAtStreamStart(make);
  values.set(key, [value]);
  return value;
}

/**
 * Metadata with which a call starts its stream at a moment of our choice: `takeTurn` is called when `metadata` is there, and the stream
 * starts inside the `start` that it is given. grpc-js calls then() of what generateMetadata() returns, and starts the stream in that
 * callback (`load-balancing-call.ts`). A promise would run the callback some microtasks later, and other calls could start before it.
 * That does happen where these credentials are composed with others, which await their parts.
 *
 * If the call has ended, `start` does nothing. If `takeTurn` throws, the call fails with that error.
 */
export function metadataInTurn(
  metadata: Promise<grpc.Metadata>,
  takeTurn: (start: () => void) => void,
): Promise<grpc.Metadata> {
  const then: PromiseLike<grpc.Metadata>['then'] = (onMetadata, onError) =>
    new Promise((resolve, reject) => {
      const settleWith = (result: () => Awaitable<never>) => {
        try {
          resolve(result());
        } catch (error) {
          reject(error);
        }
      };
      metadata
        .then((made) => takeTurn(() => settleWith(() => (onMetadata?.(made) ?? made) as Awaitable<never>)))
        .catch((error) => {
          if (onError) settleWith(() => onError(error) as Awaitable<never>);
          else reject(error);
        });
    });
  return { then } as unknown as Promise<grpc.Metadata>;
}

type Awaitable<T> = T | PromiseLike<T>;

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
