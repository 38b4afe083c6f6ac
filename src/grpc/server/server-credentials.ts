import * as grpc from '@grpc/grpc-js';
import { GrpcFdError } from '../../errors.js';
import { childCredentialsOf } from '../internals/http2-server.js';
import { registerSchemes } from '../internals/schemes.js';
import { explainToOtherCopies } from '../internals/two-copies.js';
import { checkArguments, type FdServerOptions, sameOptions } from '../options.js';
import { noteOnCopies } from '../package-copies.js';
import { Admission } from './admission.js';

/**
 * Makes server credentials whose connections on `unix:`, `unix-abstract:` and `fd:` addresses carry descriptors. Give them to `bindAsync` of a
 * grpcfd `Server`, or of any grpc.Server after `grpcfd/register` was imported. `bindAsync` of any other server fails with
 * `ERR_GRPCFD_STOCK_SERVER`.
 *
 * @param inner credentials whose TLS and interceptors are used. Default: insecure
 * @param options of the connections and of the socket file. Default: none
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`, `ERR_GRPCFD_TWO_COPIES`
 */
export function serverCredentials(
  inner: grpc.ServerCredentials = grpc.ServerCredentials.createInsecure(),
  options: FdServerOptions = {},
): grpc.ServerCredentials {
  checkArguments('server', inner, options);
  registerSchemes();
  return new FdServerCredentials(inner, { ...options });
}

type SecureContextWatcher = Parameters<grpc.ServerCredentials['_addWatcher']>[0];

class FdServerCredentials extends grpc.ServerCredentials {
  readonly options: FdServerOptions;
  readonly admission: Admission;
  readonly #inner: grpc.ServerCredentials;
  #honoured = false;

  constructor(inner: grpc.ServerCredentials, options: FdServerOptions) {
    super(null);
    this.#inner = inner;
    this.options = options;
    this.admission = new Admission(options);
  }

  /** Runs `create`, which creates a server that honours these credentials. */
  honouredBy<T>(create: () => T): T {
    this.#honoured = true;
    try {
      return create();
    } finally {
      this.#honoured = false;
    }
  }

  override _isSecure(): boolean {
    // This is the first method that grpc.Server calls when it creates a listening server.
    if (!this.#honoured) {
      throw new GrpcFdError(
        'ERR_GRPCFD_STOCK_SERVER',
        'grpcfd.serverCredentials() were given to a server that does not support them: create the server with new grpcfd.Server(), ' +
          `or import 'grpcfd/register' before it binds${noteOnCopies('this process')}`,
      );
    }
    return this.#inner._isSecure();
  }

  override _getSecureContextOptions(): ReturnType<grpc.ServerCredentials['_getSecureContextOptions']> {
    return this.#inner._getSecureContextOptions();
  }

  override _getConstructorOptions(): ReturnType<grpc.ServerCredentials['_getConstructorOptions']> {
    return this.#inner._getConstructorOptions();
  }

  override _getInterceptors(): ReturnType<grpc.ServerCredentials['_getInterceptors']> {
    return this.#inner._getInterceptors();
  }

  override _addWatcher(watcher: SecureContextWatcher): void {
    this.#inner._addWatcher(watcher);
  }

  override _removeWatcher(watcher: SecureContextWatcher): void {
    this.#inner._removeWatcher(watcher);
  }

  override _equals(other: grpc.ServerCredentials): boolean {
    return (
      other instanceof FdServerCredentials &&
      this.#inner._equals(other.#inner) &&
      sameOptions(this.options, other.options)
    );
  }
}

explainToOtherCopies(FdServerCredentials.prototype);

/** The FdServerCredentials that `credentials` are or contain. */
export function fdServerCredentialsIn(credentials: grpc.ServerCredentials): FdServerCredentials | undefined {
  let next: grpc.ServerCredentials | undefined = credentials;
  while (next !== undefined && !(next instanceof FdServerCredentials)) next = childCredentialsOf(next);
  return next;
}
