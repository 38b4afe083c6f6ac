import assert from 'node:assert/strict';
import { status } from '@grpc/grpc-js';
import { GrpcFdError, type GrpcFdErrorReason } from 'grpcfd';

/** The rejection of a promise that must not resolve. */
export function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => assert.fail(`resolved to ${String(value)}`),
    (error: unknown) => error,
  );
}

/** Checks the reason and the status of an error, and returns the error for further checks. */
export function assertFailure(
  error: unknown,
  reason: GrpcFdErrorReason,
  code: keyof typeof status,
): GrpcFdError {
  assert.ok(error instanceof GrpcFdError, String(error));
  assert.deepEqual([error.reason, status[error.code]], [reason, code]);
  assert.equal(error.message, `${error.details} [${reason}]`);
  return error;
}

export async function assertFails(
  promise: Promise<unknown>,
  reason: GrpcFdErrorReason,
  code: keyof typeof status,
): Promise<GrpcFdError> {
  return assertFailure(await failure(promise), reason, code);
}
