import { causeStack, causeText, quotePeerText } from '../error-text.js';
import { GrpcFdError } from '../errors.js';
import { MAX_HELD_IN_HANDSHAKE } from './handshake.js';
import { formatReference, type Reference } from './reference.js';

/** The user's onConnection failed with `cause`. The process has been given a warning. */
export class OnConnectionError extends Error {
  constructor(cause: unknown) {
    super(`onConnection failed, and its connection was closed: ${causeText(cause)}`, { cause });
    // The stack of the cause tells where the user's code failed.
    const stack = causeStack(cause);
    if (stack !== undefined) this.stack = stack;
  }
}

export function tooManyInHandshake(): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_DESCRIPTORS_LOST',
    `more than ${MAX_HELD_IN_HANDSHAKE} descriptors came before the TLS handshake had ended: those above were closed`,
  );
}

export function notAccepted(): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_NOT_ACCEPTED',
    'this connection accepts no descriptors (acceptFds: false of its credentials): those that came were closed',
  );
}

/** `by` is why a user has closed it. */
export function connectionClosed(by?: Error): GrpcFdError {
  const text = by === undefined ? 'the connection closed' : `the connection was closed: ${by.message}`;
  return new GrpcFdError('ERR_GRPCFD_CONNECTION_CLOSED', text, by && { cause: by });
}

export function wrongConnection(reference: Reference): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_WRONG_CONNECTION',
    `${quotePeerText(formatReference(reference.id, reference.number))} names a descriptor of another connection or call. ` +
      'Was the call that brought it started with the options() of these credentials?',
  );
}
