import { GrpcFdError } from '../errors.js';

/**
 * The error for a missing internal of Node or grpc-js on which this package relies.
 *
 * This folder has a file for each internal of Node that the layers below gRPC need, and `src/grpc/internals/` one for each of the others.
 * `test/internals/` and `test/grpc/internals/` have a contract test for each:
 *
 * | file | internal |
 * | --- | --- |
 * | `dgram-state` | the state of a dgram.Socket: its handle and its `connectState` |
 * | `net-handle` | the handle of a net.Socket or net.Server: `fd`, `reading`, `readStop`, `close`; `net.Server._listen2()`; who parses a socket |
 * | `bridged-socket` | the handle of a net.Socket: `close` and `getpeername` |
 * | `call-hook` | the class of a channel's call in grpc-js |
 * | `call-metadata` | `Metadata.internalRepr`, `then()` of call metadata, the class of empty call credentials, the parts of composed ones |
 * | `connected-socket` | the handle of a net.Socket: its `fd` |
 * | `fd-target` | the resolver of grpc-js for unix targets; `enterIdle` of a channel; the `fd` of `process.channel` |
 * | `http2-server` | `createHttp2Server` of grpc.Server; how net.Server knows its handle and counts its connections |
 * | `http2-session` | the session of a socket, the streams of a session, the `sentHeaders` of a stream |
 * | `last-flight` | when Node writes the last bytes of a TLS handshake |
 * | `no-proxy` | `mapProxyName` of grpc-js |
 * | `own-handle` | the `handle` that net.connect() takes |
 * | `response-header` | the one call of `respond()` for each response in grpc-js |
 * | `unix-abstract` | the resolver of grpc-js for unix targets |
 * | `unread-socket` | the option `manualStart` of net.Socket |
 * | `user-agent` | what grpc-js puts into the user agent |
 */
export function changed(what: string): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_INTERNALS_CHANGED',
    `grpcfd relies on ${what}, which Node ${process.version} or the installed @grpc/grpc-js does not have. ` +
      'Use versions that the README lists, or report this as a bug.',
  );
}

/** Reads a property that the public type does not have. Undefined where the object does not have it, either. */
export function hidden<T>(object: object, key: string | symbol): T | undefined {
  return Reflect.get(object, key) as T | undefined;
}
