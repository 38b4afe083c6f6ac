import { GrpcFdError } from '../../errors.js';

/** A part of Node or grpc-js that this package leans on is missing: never in silence. */
export function changed(what: string): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_INTERNALS_CHANGED',
    `grpcfd relies on ${what}, which Node ${process.version} or the installed @grpc/grpc-js does not have. ` +
      'Use versions that the README lists, or report this as a bug.',
  );
}

/** A property that the public type does not have; undefined where the object does not have it either. */
export function hidden<T>(object: object, key: string | symbol): T | undefined {
  return Reflect.get(object, key) as T | undefined;
}
