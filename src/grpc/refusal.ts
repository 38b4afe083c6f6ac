import { GrpcFdError, type GrpcFdErrorReason } from '../errors.js';

/**
 * Why a connection was not made:
 *
 * - `authorize`: `authorize()` gave something other than true, threw, or rejected
 * - `unknown peer`: there is an `authorize()`, and nobody tells who is at the other end
 * - `authorizeTimeoutMs`: `authorize()` did not answer in time
 * - `hang-up`: the peer hung up before `authorize()` had answered
 * - `shutdown`: the server or the channel was shut down before
 * - `undecided`: too many connections waited for an answer
 * - `account`: `account()` threw, or gave a promise
 * - `maxConnections`, `maxConnectionsPerAccount`: that limit
 */
export type RefusalReason =
  | 'authorize'
  | 'unknown peer'
  | 'authorizeTimeoutMs'
  | 'hang-up'
  | 'shutdown'
  | 'undecided'
  | 'account'
  | 'maxConnections'
  | 'maxConnectionsPerAccount';

/** A connection was refused. */
export class Refusal {
  readonly reason: RefusalReason;
  readonly error: GrpcFdError;

  constructor(reason: RefusalReason, text: string, options?: { cause?: unknown }) {
    this.reason = reason;
    this.error = new GrpcFdError(ERRORS[reason], text, options);
  }
}

const ERRORS: Readonly<Record<RefusalReason, GrpcFdErrorReason>> = {
  authorize: 'ERR_GRPCFD_PEER_REFUSED',
  'unknown peer': 'ERR_GRPCFD_PEER_REFUSED',
  authorizeTimeoutMs: 'ERR_GRPCFD_PEER_REFUSED',
  'hang-up': 'ERR_GRPCFD_CONNECTION_CLOSED',
  shutdown: 'ERR_GRPCFD_CLOSED',
  undecided: 'ERR_GRPCFD_TOO_MANY_CONNECTIONS',
  account: 'ERR_GRPCFD_PEER_REFUSED',
  maxConnections: 'ERR_GRPCFD_TOO_MANY_CONNECTIONS',
  maxConnectionsPerAccount: 'ERR_GRPCFD_TOO_MANY_CONNECTIONS',
};
