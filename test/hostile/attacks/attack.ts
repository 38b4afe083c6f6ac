import type { Random } from '../../support/random.js';
import type { Attack } from '../messages.js';

/** What an attack has to do with. */
export interface Means {
  readonly address: string;
  /** It counts what it does here. */
  readonly attack: Attack;
  readonly random: Random;
  /** To be called often: lets the process tell what it has done. */
  pause(): Promise<void>;
}

/** It never ends by itself. */
export type AttackFunction = (means: Means) => Promise<never>;
