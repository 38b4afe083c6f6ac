import { aLimit, check, grpcComplaint, type RulesFor } from '../checks.js';

/** What one connection may hold. Each is a positive integer, or `Infinity`, which switches the limit off. */
export interface InboxLimits {
  /**
   * Descriptors that are held idle. Above it, {@link HeldDescriptors.evict} closes the least recently used ones. With the usual soft
   * RLIMIT_NOFILE of 1024 or more, one connection alone seldom fills the table of a process whose limit was raised.
   */
  readonly maxHeldFds: number;
  /**
   * Received descriptors that one call may claim; what comes above it is closed. Default 1024: their
   * names are 10 to 20 KB of metadata, which passes HTTP/2 header limits (75 KB did, 100 KB failed the stream).
   */
  readonly maxFdsPerCall: number;
  /**
   * How long a descriptor is held idle after it came or was last received. The default is longer than the usual deadlines of calls,
   * and short enough that descriptors that are never received do not pile up.
   */
  readonly holdMs: number;
  /** Receives that wait at a time. The default is as many as there can be descriptors for. */
  readonly maxPendingReceives: number;
}

export const DEFAULT_LIMITS: InboxLimits = {
  maxHeldFds: 1024,
  maxFdsPerCall: 1024,
  holdMs: 150_000,
  maxPendingReceives: 1024,
};

export const LIMIT_RULES: RulesFor<InboxLimits> = {
  maxHeldFds: aLimit,
  maxFdsPerCall: aLimit,
  holdMs: aLimit,
  maxPendingReceives: aLimit,
};

/**
 * The limits that the user gave, and the defaults for the others.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` for a value that is neither a positive integer nor
 * `Infinity`.
 */
export function resolveLimits(
  options: { readonly [Name in keyof InboxLimits]?: InboxLimits[Name] | undefined } = {},
): InboxLimits {
  const limit = (name: keyof InboxLimits): number => {
    const value = options[name] ?? DEFAULT_LIMITS[name];
    check(grpcComplaint, name, value, LIMIT_RULES[name]);
    return value;
  };
  return {
    maxHeldFds: limit('maxHeldFds'),
    maxFdsPerCall: limit('maxFdsPerCall'),
    holdMs: limit('holdMs'),
    maxPendingReceives: limit('maxPendingReceives'),
  };
}
