import { Duplex } from 'node:stream';
import type * as grpc from '@grpc/grpc-js';
import { fromAnyCall } from './server-call.js';
import type { FdServerCall } from './transceiver.js';

/** The reply of an asynchronous handler. */
type Reply<Response> = Response | Promise<Response>;

/**
 * Makes an asynchronous function a handler of grpc-js: what it returns is the reply, what it throws becomes the call's
 * status, and nothing is left unhandled. A {@link GrpcFdError} has its own status; another error with a numeric `code` keeps
 * that; anything else is UNKNOWN.
 *
 * `fds` is the call's transceiver. On a connection that cannot carry descriptors the handler still runs, and what it sends
 * or receives fails with `ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT`.
 */
export function handler<Request, Response>(
  fn: (call: grpc.ServerUnaryCall<Request, Response>, fds: FdServerCall) => Reply<Response>,
): grpc.handleUnaryCall<Request, Response>;
/** For a client-streaming method. */
export function handler<Request, Response>(
  fn: (call: grpc.ServerReadableStream<Request, Response>, fds: FdServerCall) => Reply<Response>,
): grpc.handleClientStreamingCall<Request, Response>;
/** For a server-streaming method. The call is ended when the function has finished, unless it did that itself. */
export function handler<Request, Response>(
  fn: (call: grpc.ServerWritableStream<Request, Response>, fds: FdServerCall) => Reply<void>,
): grpc.handleServerStreamingCall<Request, Response>;
/** For a bidirectional method. The call is ended when the function has finished, unless it did that itself. */
export function handler<Request, Response>(
  fn: (call: grpc.ServerDuplexStream<Request, Response>, fds: FdServerCall) => Reply<void>,
): grpc.handleBidiStreamingCall<Request, Response>;
export function handler(fn: (call: never, fds: FdServerCall) => unknown): unknown {
  return (call: never, callback?: grpc.sendUnaryData<unknown>) => {
    void run(fn, call, callback);
  };
}

async function run(
  fn: (call: never, fds: FdServerCall) => unknown,
  call: never,
  callback: grpc.sendUnaryData<unknown> | undefined,
): Promise<void> {
  const stream = call as grpc.ServerDuplexStream<unknown, unknown>;
  if (stream instanceof Duplex) keepWritable(stream);
  let reply: unknown;
  try {
    reply = await fn(call, fromAnyCall(call));
  } catch (thrown) {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    if (callback !== undefined) callback(error);
    else stream.emit('error', error);
    return;
  }
  if (callback !== undefined) callback(null, reply);
  else if (!stream.writableEnded) stream.end();
}

/**
 * `for await` over a Duplex destroys it after its last message, or when the loop is left. A bidirectional call would then never
 * send another reply, nor its status.
 */
function keepWritable(stream: Duplex): void {
  Object.defineProperty(stream, Symbol.asyncIterator, {
    value: () => stream.iterator({ destroyOnReturn: false }),
    configurable: true,
  });
}
