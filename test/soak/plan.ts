/** Which call is made next: all of it follows from the seed. */
import type { Random } from '../support/random.js';
import { ITEM_KINDS, type ItemKind } from './items.js';
import { type ItemPlan, MAX_BODY_BYTES, type MessagePlan, RPCS, type Rpc } from './service.js';

export interface CallPlan {
  readonly rpc: Rpc;
  readonly requests: readonly MessagePlan[];
  readonly replies: readonly MessagePlan[];
  readonly deadlineMs: number;
  /** Undefined for a call that is not cancelled. 0: in the turn in which it starts. */
  readonly cancelMs: number | undefined;
  /** Whether the client receives after the status of the call, and not with each reply. */
  readonly late: boolean;
  /** Whether the handler receives what is attached in order. */
  readonly inOrder: boolean;
  /** Whether a stream sends its requests without waiting for replies. */
  readonly atOnce: boolean;
  /** How long the handler waits before each answer. */
  readonly delayMs: number;
  /** A planted fault: nobody ends the call at its deadline. */
  readonly hangs?: true;
  /** How long the caller rests afterwards. */
  readonly restMs: number;
}

/** Long enough for any call on a machine that many others use, too. A call that nobody answers takes longer. */
export const LONG_DEADLINE_MS = 180_000;
const MAX_SHORT_DEADLINE_MS = 250;
const MAX_CANCEL_MS = 60;
const MAX_MESSAGES = 8;
/** Of SCM_RIGHTS. */
const MAX_FDS = 253;
/**
 * An HTTP/2 server of Node.js ends a connection with more than 33 cancelled calls a second. Four callers with this rest between two
 * such calls stay below that.
 */
const REST_AFTER_CANCEL_MS = 160;
/** Above it, the kinds that cost a directory or a socket with a name are left out. */
const FEW = 16;
const CHEAP: readonly ItemKind[] = ['file', 'memfd', 'pipe', 'socket', 'eventfd'];

export function planCall(random: Random): CallPlan {
  const rpc = pick(random, RPCS);
  const isShort = random(100) < 10;
  const cancelMs = random(100) < 12 ? random(MAX_CANCEL_MS) : undefined;
  const count = rpc === 'clientStream' || rpc === 'bidi' ? 1 + random(MAX_MESSAGES) : 1;
  const answers = rpc === 'serverStream' ? 1 + random(MAX_MESSAGES) : rpc === 'bidi' ? count : 1;
  return {
    rpc,
    requests: planMessages(random, count),
    replies: planMessages(random, answers),
    deadlineMs: isShort ? 1 + random(MAX_SHORT_DEADLINE_MS) : LONG_DEADLINE_MS,
    cancelMs,
    late: random(4) === 0,
    inOrder: (rpc === 'unary' || rpc === 'serverStream') && random(4) === 0,
    atOnce: random(2) === 0,
    delayMs: random(3) === 0 ? random(40) : 0,
    restMs: cancelMs !== undefined || isShort ? REST_AFTER_CANCEL_MS : random(4),
  };
}

function planMessages(random: Random, count: number): MessagePlan[] {
  const items: ItemPlan[][] = Array.from({ length: count }, () => []);
  const fds = howManyFds(random);
  const kinds = fds <= FEW ? ITEM_KINDS : CHEAP;
  // Descriptors with one inode at a time are the hard case.
  const only = random(8) === 0 ? pick(random, kinds) : undefined;
  const takesAll = random(8) !== 0;
  for (let fd = 0; fd < fds; fd++) {
    pick(random, items).push({ kind: only ?? pick(random, kinds), take: takesAll || random(3) === 0 });
  }
  return items.map((each) => ({ items: each, bytes: howManyBytes(random, count) }));
}

/** Of all messages of one direction. */
function howManyFds(random: Random): number {
  const lot = random(100);
  if (lot < 15) return 0;
  if (lot < 60) return 1;
  if (lot < 91) return 2 + random(7);
  if (lot < 98) return 9 + random(56);
  return 65 + random(MAX_FDS - 64);
}

function howManyBytes(random: Random, messages: number): number {
  const lot = random(100);
  if (lot < 30) return 0;
  if (lot < 75) return random(1024);
  if (lot < 92) return random(2 ** 16);
  if (lot < 98) return Math.floor(random(2 ** 20) / messages);
  return Math.floor((2 ** 20 + random(MAX_BODY_BYTES - 2 ** 20)) / messages);
}

function pick<T>(random: Random, from: readonly T[]): T {
  return from[random(from.length)] as T;
}
