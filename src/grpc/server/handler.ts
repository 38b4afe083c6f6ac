import { Duplex } from 'node:stream';
import type * as grpc from '@grpc/grpc-js';
import { aFunction, check, grpcComplaint } from '../../checks.js';
import { fitIntoTrailers, quotePeerText } from '../../error-text.js';
import { statusOfAbort, statusOfSystemError } from '../../errors.js';
import type { FdServerCall } from '../fd-transceiver.js';
import { fromAnyCall } from './server-call.js';

/** The reply of an asynchronous handler. */
type Reply<Response> = Response | Promise<Response>;

/** The call that a handler of grpc-js takes. */
type CallOf<Handler> = Handler extends (call: infer Call, ...rest: never[]) => unknown ? Call : never;

type ReplyOf<Handler> = Handler extends (call: never) => unknown
  ? Reply<void>
  : Handler extends (call: never, callback: grpc.sendUnaryData<infer Response>) => unknown
    ? Reply<Response>
    : never;

type Intersection<Union> = (Union extends unknown ? (each: Union) => void : never) extends (
  all: infer All,
) => void
  ? All
  : never;

/**
 * The asynchronous function that replaces `Handler`. In an untyped service, where the kind of the handler is not known, its call has
 * the members that calls of all kinds have: only the service definition tells the kind, at run time.
 */
type AsyncHandler<Handler> = [Handler] extends [never]
  ? never
  : (call: Intersection<CallOf<Handler>>, fds: FdServerCall) => ReplyOf<Handler>;

/**
 * Makes a handler of grpc-js from an asynchronous function, for methods of all four kinds. The value that the function returns is the
 * reply. An error that it throws becomes the status of the call:
 *
 * - a {@link GrpcFdError} has its own status
 * - an error with a numeric `code` keeps that, with its `details` and `metadata`
 * - an abort is CANCELLED, and that of `AbortSignal.timeout()` is DEADLINE_EXCEEDED
 * - a failed syscall gets the status of its errno (ENOENT: NOT_FOUND) and its message
 * - any other error is UNKNOWN
 *
 * A text of more than 4096 bytes is cut, so that the status fits into the trailers of the call. The metadata is not cut. A streaming call
 * is ended when the function has finished, unless the function has ended it.
 *
 * The second argument of the function is the transceiver of the call. Files that the function receives belong to it. On a
 * connection that cannot carry descriptors the function runs, too, and each send or receive fails with
 * `ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT`.
 *
 * In a service whose handlers have types, the types of the call and of the reply follow from those.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` when `fn` is not a function
 */
export function handler<Handler extends grpc.UntypedHandleCall = never>(fn: AsyncHandler<Handler>): Handler;
/** For a unary method, where the type of `call` is given. */
export function handler<Request, Response>(
  fn: (call: grpc.ServerUnaryCall<Request, Response>, fds: FdServerCall) => Reply<Response>,
): grpc.handleUnaryCall<Request, Response>;
/** For a client-streaming method, where the type of `call` is given. */
export function handler<Request, Response>(
  fn: (call: grpc.ServerReadableStream<Request, Response>, fds: FdServerCall) => Reply<Response>,
): grpc.handleClientStreamingCall<Request, Response>;
/** For a server-streaming method, where the type of `call` is given. */
export function handler<Request, Response>(
  fn: (call: grpc.ServerWritableStream<Request, Response>, fds: FdServerCall) => Reply<void>,
): grpc.handleServerStreamingCall<Request, Response>;
/** For a bidirectional method, where the type of `call` is given. */
export function handler<Request, Response>(
  fn: (call: grpc.ServerDuplexStream<Request, Response>, fds: FdServerCall) => Reply<void>,
): grpc.handleBidiStreamingCall<Request, Response>;
export function handler(fn: (call: never, fds: FdServerCall) => unknown): unknown {
  check(grpcComplaint, 'the handler', fn, aFunction);
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
    const error = toStatus(thrown);
    if (callback !== undefined) callback(error);
    else stream.emit('error', error);
    return;
  }
  if (callback !== undefined) callback(null, reply);
  else if (!stream.writableEnded) stream.end();
}

/**
 * `for await` over a Duplex destroys it after its last message, or when the loop is left. A bidirectional call could then send neither
 * another reply nor its status.
 */
function keepWritable(stream: Duplex): void {
  Object.defineProperty(stream, Symbol.asyncIterator, {
    value: () => stream.iterator({ destroyOnReturn: false }),
    configurable: true,
  });
}

/**
 * An object from which grpc-js can make a status. It need not be an Error. Its text is made to fit into trailers, because grpc-js puts it
 * there unchanged: it hangs with a text that is too long, and throws at half a surrogate pair.
 */
function toStatus(thrown: unknown): object {
  const status = typeof thrown === 'object' && thrown !== null ? thrown : new Error(String(thrown));
  const { message, details } = status as Partial<Record<'message' | 'details', unknown>>;
  const code = statusOfAbort(status) ?? statusOfSystemError(status);
  const text = fit(message);
  const replaced: PropertyDescriptorMap = {};
  if (text !== message) replaced['message'] = { value: text };
  if (code !== undefined) {
    replaced['code'] = { value: code };
    replaced['details'] = { value: text };
    // That of a DOMException can be read from itself alone.
    replaced['message'] = { value: text };
  } else if (typeof details === 'string' && fit(details) !== details) {
    replaced['details'] = { value: fit(details) };
  }
  return Object.keys(replaced).length === 0 ? status : Object.create(status, replaced);
}

/** The value need not be a text. grpc-js would turn it into one. */
function fit(text: unknown): string | undefined {
  if (text === undefined) return undefined;
  return typeof text === 'string' ? fitIntoTrailers(text) : quotePeerText(text);
}
