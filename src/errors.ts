/**
 * The error class of this package, and the only place where errno values and failures are mapped to gRPC status codes. It does not
 * import grpc-js: the status numbers are those of the gRPC specification (https://grpc.github.io/grpc/core/md_doc_statuscodes.html).
 */

import { fitIntoTrailers } from './error-text.js';

const STATUS = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
} as const;

/**
 * The reasons why an operation of this package can fail, each with its gRPC status. `docs/errors.md` has a section for each. The status
 * of the `*_FAILED` reasons, which is UNKNOWN here, depends on the errno of the failed syscall.
 */
const REASONS = {
  ERR_GRPCFD_INVALID_ARGUMENT: STATUS.INVALID_ARGUMENT,
  ERR_GRPCFD_INVALID_URL: STATUS.INVALID_ARGUMENT,
  ERR_GRPCFD_INVALID_REFERENCE: STATUS.INVALID_ARGUMENT,
  ERR_GRPCFD_ABORTED: STATUS.CANCELLED,
  ERR_GRPCFD_TIMEOUT: STATUS.DEADLINE_EXCEEDED,
  ERR_GRPCFD_CALL_ENDED: STATUS.CANCELLED,
  ERR_GRPCFD_CLOSED: STATUS.CANCELLED,
  ERR_GRPCFD_HOLD_EXPIRED: STATUS.DEADLINE_EXCEEDED,
  ERR_GRPCFD_CONNECTION_CLOSED: STATUS.UNAVAILABLE,
  ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT: STATUS.FAILED_PRECONDITION,
  ERR_GRPCFD_DESCRIPTORS_LOST: STATUS.DATA_LOSS,
  ERR_GRPCFD_NOT_FOUND: STATUS.NOT_FOUND,
  ERR_GRPCFD_ALREADY_RECEIVED: STATUS.FAILED_PRECONDITION,
  ERR_GRPCFD_WRONG_CONNECTION: STATUS.FAILED_PRECONDITION,
  ERR_GRPCFD_REFERENCE_MISMATCH: STATUS.DATA_LOSS,
  ERR_GRPCFD_TOO_MANY_RECEIVES: STATUS.RESOURCE_EXHAUSTED,
  ERR_GRPCFD_TOO_MANY_DESCRIPTORS: STATUS.RESOURCE_EXHAUSTED,
  ERR_GRPCFD_PEER_REFUSED: STATUS.PERMISSION_DENIED,
  ERR_GRPCFD_TOO_MANY_CONNECTIONS: STATUS.RESOURCE_EXHAUSTED,
  ERR_GRPCFD_NOT_ACCEPTED: STATUS.PERMISSION_DENIED,
  ERR_GRPCFD_OPEN_FAILED: STATUS.UNKNOWN,
  ERR_GRPCFD_CONNECT_FAILED: STATUS.UNKNOWN,
  ERR_GRPCFD_SEND_FAILED: STATUS.UNKNOWN,
  ERR_GRPCFD_RECEIVE_FAILED: STATUS.UNKNOWN,
  ERR_GRPCFD_FILE_CLOSED: STATUS.FAILED_PRECONDITION,
  ERR_GRPCFD_FILE_TOO_LARGE: STATUS.RESOURCE_EXHAUSTED,
  ERR_GRPCFD_UNEXPECTED_KIND: STATUS.FAILED_PRECONDITION,
  ERR_GRPCFD_PATH_ONLY: STATUS.FAILED_PRECONDITION,
  ERR_GRPCFD_WOULD_BLOCK: STATUS.FAILED_PRECONDITION,
  ERR_GRPCFD_NOT_MAPPABLE: STATUS.FAILED_PRECONDITION,
  ERR_GRPCFD_STOCK_SERVER: STATUS.FAILED_PRECONDITION,
  ERR_GRPCFD_TWO_COPIES: STATUS.FAILED_PRECONDITION,
  ERR_GRPCFD_ADDON_NOT_LOADED: STATUS.FAILED_PRECONDITION,
  ERR_GRPCFD_INTERNALS_CHANGED: STATUS.UNIMPLEMENTED,
} as const;

/** Why an operation failed: one of the `ERR_GRPCFD_*` strings. `docs/errors.md` has a section for each. */
export type GrpcFdErrorReason = keyof typeof REASONS;

/** The gRPC status for the errno of a failed syscall. For any other errno it is INTERNAL, because the caller is not at fault. */
const STATUS_OF_ERRNO: Readonly<Record<string, number>> = {
  EBADF: STATUS.INVALID_ARGUMENT,
  EINVAL: STATUS.INVALID_ARGUMENT,
  ENAMETOOLONG: STATUS.INVALID_ARGUMENT,
  ENOTDIR: STATUS.INVALID_ARGUMENT,
  EISDIR: STATUS.INVALID_ARGUMENT,
  ELOOP: STATUS.INVALID_ARGUMENT,
  EXDEV: STATUS.INVALID_ARGUMENT,
  EPROTOTYPE: STATUS.INVALID_ARGUMENT,
  ENOENT: STATUS.NOT_FOUND,
  ENXIO: STATUS.NOT_FOUND,
  EACCES: STATUS.PERMISSION_DENIED,
  EPERM: STATUS.PERMISSION_DENIED,
  EMFILE: STATUS.RESOURCE_EXHAUSTED,
  ENFILE: STATUS.RESOURCE_EXHAUSTED,
  ENOMEM: STATUS.RESOURCE_EXHAUSTED,
  ETOOMANYREFS: STATUS.RESOURCE_EXHAUSTED,
  ENOSYS: STATUS.UNIMPLEMENTED,
  EAGAIN: STATUS.UNAVAILABLE,
  EPIPE: STATUS.UNAVAILABLE,
  ECONNREFUSED: STATUS.UNAVAILABLE,
  ECONNRESET: STATUS.UNAVAILABLE,
  ECANCELED: STATUS.CANCELLED,
};

/** Marks instances, so that `instanceof` also holds for errors of a second copy of this package in the same process. */
const BRAND = Symbol.for('grpcfd.GrpcFdError');

/**
 * The error of all failures that this package reports through gRPC. It has the form of a gRPC status, so it can be given to the callback
 * of a handler of grpc-js, or thrown in the function that `handler()` was given. `cause` is the failed syscall with its `code`, `errno` and
 * `syscall`, or the reason of an abort signal, where there is one. `instanceof` also holds for errors of a second copy of this package in
 * the same process.
 */
export class GrpcFdError extends Error {
  /** The gRPC status number, one of `grpc.status`. */
  readonly code: number;
  /** The gRPC status text, without the reason. It has at most 4096 bytes in the trailers of a call, and is cut where it is longer. */
  readonly details: string;
  /** Why the operation failed, for programs. */
  readonly reason: GrpcFdErrorReason;

  /** @internal */
  constructor(reason: GrpcFdErrorReason, details: string, options?: { cause?: unknown }) {
    const text = fitIntoTrailers(details);
    super(`${text} [${reason}]`, options);
    this.reason = reason;
    this.details = text;
    this.code = statusOf(reason, options?.cause);
  }

  /** @internal */
  get [BRAND](): true {
    return true;
  }

  /** @internal */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && BRAND in value;
  }
}

Object.defineProperty(GrpcFdError.prototype, 'name', {
  value: 'GrpcFdError',
  configurable: true,
  writable: true,
});

function statusOf(reason: GrpcFdErrorReason, cause: unknown): number {
  if (reason === 'ERR_GRPCFD_ABORTED' && isTimeout(cause)) return STATUS.DEADLINE_EXCEEDED;
  const status = REASONS[reason];
  if (status !== STATUS.UNKNOWN) return status;
  const errno = errnoCode(cause);
  return errno === undefined ? STATUS.INTERNAL : (STATUS_OF_ERRNO[errno] ?? STATUS.INTERNAL);
}

/** The gRPC status of a failed syscall, as Node.js reports it; undefined for any other error. */
export function statusOfSystemError(error: object): number | undefined {
  const errno = errnoCode(error);
  return errno === undefined ? undefined : STATUS_OF_ERRNO[errno];
}

/**
 * The gRPC status of an abort: what `AbortSignal.abort()` and `AbortSignal.timeout()` give, or an `AbortError` of Node.js, whose cause says
 * why. Undefined for any other error. The `code` of a DOMException is a number, and no gRPC status.
 */
export function statusOfAbort(error: object): number | undefined {
  if (isTimeout(error)) return STATUS.DEADLINE_EXCEEDED;
  if (error instanceof DOMException) return error.name === 'AbortError' ? STATUS.CANCELLED : STATUS.UNKNOWN;
  if (errnoCode(error) !== 'ABORT_ERR') return undefined;
  return isTimeout((error as Error).cause) ? STATUS.DEADLINE_EXCEEDED : STATUS.CANCELLED;
}

function isTimeout(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'TimeoutError';
}

/** The `code` of a failed syscall ('EMFILE'), or undefined. */
function errnoCode(error: unknown): string | undefined {
  const code = (error as NodeJS.ErrnoException | null | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}
