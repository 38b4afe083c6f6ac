/** The script of a seed. */
import { TRANSPORTS } from '../library.js';
import { FAMILIES, type Script } from '../script.js';
import { bothEndsScript } from './both-ends.js';
import { Dice } from './dice.js';
import { rawClientScript } from './raw-client.js';
import { rawServerScript } from './raw-server.js';

const GENERATORS = {
  'raw server': rawServerScript,
  'raw client': rawClientScript,
  'both ends': bothEndsScript,
};

/** The same for the same seed, for as long as the generators do not change. */
export function generate(seed: number): Script {
  const dice = new Dice(seed);
  const security = dice.pick(TRANSPORTS);
  return GENERATORS[dice.pick(FAMILIES)](dice, security);
}
