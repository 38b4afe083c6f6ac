import * as grpc from '@grpc/grpc-js';
import { GrpcFdError } from '../../errors.js';
import { childCredentialsOf } from '../internals/http2-server.js';
import { registerUnixAbstractResolver } from '../internals/unix-abstract.js';
import { checkArguments, type FdServerOptions, sameOptions } from '../options.js';

/**
 * Server credentials whose connections over unix sockets carry descriptors, around `inner`, whose TLS and interceptors go
 * on inside. To be given to `bindAsync` of a grpcfd {@link Server}, or of any grpc.Server once `grpcfd/register` has been
 * imported; a stock bindAsync fails with `ERR_GRPCFD_STOCK_SERVER`.
 *
 * @param inner default: insecure
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` for options out of range or unknown
 */
export function serverCredentials(
  inner: grpc.ServerCredentials = grpc.ServerCredentials.createInsecure(),
  options: FdServerOptions = {},
): grpc.ServerCredentials {
  checkArguments('server', inner, options);
  registerUnixAbstractResolver();
  return new FdServerCredentials(inner, { ...options });
}

type SecureContextWatcher = Parameters<grpc.ServerCredentials['_addWatcher']>[0];

class FdServerCredentials extends grpc.ServerCredentials {
  readonly options: FdServerOptions;
  readonly #inner: grpc.ServerCredentials;
  #honoured = false;

  constructor(inner: grpc.ServerCredentials, options: FdServerOptions) {
    super(null);
    this.#inner = inner;
    this.options = options;
  }

  /** Runs what creates the server, for one that honours these credentials. */
  honouredBy<T>(create: () => T): T {
    this.#honoured = true;
    try {
      return create();
    } finally {
      this.#honoured = false;
    }
  }

  override _isSecure(): boolean {
    // The first thing that a grpc.Server asks of credentials when it creates a listening server.
    if (!this.#honoured) {
      throw new GrpcFdError(
        'ERR_GRPCFD_STOCK_SERVER',
        'grpcfd.serverCredentials() were given to a server that does not honour them: create it with new grpcfd.Server(), ' +
          "or import 'grpcfd/register' before it binds",
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

/** The FdServerCredentials that `credentials` are, or wrap. */
export function fdServerCredentialsIn(credentials: grpc.ServerCredentials): FdServerCredentials | undefined {
  let next: grpc.ServerCredentials | undefined = credentials;
  while (next !== undefined && !(next instanceof FdServerCredentials)) next = childCredentialsOf(next);
  return next;
}
