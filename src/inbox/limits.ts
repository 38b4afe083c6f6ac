import { quotePeerText } from '../error-text.js';
import { GrpcFdError } from '../errors.js';

/** What one connection may hold. Each is a positive integer; `Infinity` switches it off. */
export interface InboxLimits {
  /**
   * Received descriptors that no running call claims. Above it the least recently used one is closed; what came within the last
   * second is spared, up to eight times as many, because it runs ahead of the calls that claim it. Default
   * 1024: with the usual soft RLIMIT_NOFILE of 1024 or more, one connection alone seldom fills the table of a
   * process whose limit was raised.
   */
  readonly maxHeldFds: number;
  /**
   * Received descriptors that one call may claim; what comes above it is closed. Default 1024: their
   * names are 10 to 20 KB of metadata, which passes HTTP/2 header limits (75 KB did, 100 KB failed the stream).
   */
  readonly maxFdsPerCall: number;
  /**
   * How long a descriptor that no running call claims is held since it came or was last received. Default 150
   * 000: longer than the usual deadlines of calls, short enough that what nobody asks for does not pile up.
   */
  readonly holdMs: number;
  /** Receivers that wait at a time; one more is refused. Default 1024: as many as can be held for them. */
  readonly maxPendingReceives: number;
}

export const DEFAULT_LIMITS: InboxLimits = {
  maxHeldFds: 1024,
  maxFdsPerCall: 1024,
  holdMs: 150_000,
  maxPendingReceives: 1024,
};

/**
 * The defaults with what the user gave in their place.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` for a value that is neither a positive integer nor
 * `Infinity`.
 */
export function resolveLimits(
  options: { readonly [Name in keyof InboxLimits]?: InboxLimits[Name] | undefined } = {},
): InboxLimits {
  const limit = (name: keyof InboxLimits): number => {
    const value = options[name] ?? DEFAULT_LIMITS[name];
    if (value === Number.POSITIVE_INFINITY || (Number.isSafeInteger(value) && value > 0)) return value;
    throw new GrpcFdError(
      'ERR_GRPCFD_INVALID_ARGUMENT',
      `${name} must be a positive integer or Infinity, not ${quotePeerText(value)}`,
    );
  };
  return {
    maxHeldFds: limit('maxHeldFds'),
    maxFdsPerCall: limit('maxFdsPerCall'),
    holdMs: limit('holdMs'),
    maxPendingReceives: limit('maxPendingReceives'),
  };
}
