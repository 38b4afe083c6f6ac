import assert from 'node:assert/strict';
import { status } from '@grpc/grpc-js';
import { GrpcFdError, type GrpcFdErrorReason } from 'grpcfd';

/** What a promise that must not resolve rejects with. */
export function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => assert.fail(`resolved to ${String(value)}`),
    (error: unknown) => error,
  );
}

/** Checks reason and status, and gives the error for more. */
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
