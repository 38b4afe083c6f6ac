import { busy } from './busy.js';
import { garbage, halfOpen, handshakes, unread } from './connections.js';
import { calls, fullMessages, oneByOne, slowCloses, sockets } from './floods.js';
import { forged, rapidReset, references, waits } from './names.js';

export const ATTACKS = {
  oneByOne,
  fullMessages,
  sockets,
  slowCloses,
  calls,
  waits,
  references,
  forged,
  rapidReset,
  garbage,
  halfOpen,
  handshakes,
  unread,
  busy,
};

export type AttackName = keyof typeof ATTACKS;
