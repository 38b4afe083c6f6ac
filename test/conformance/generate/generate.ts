/** The script of a seed. */
import { type Transport, TRANSPORTS } from '../library.js';
import { FAMILIES, type Family, type Script } from '../script.js';
import { Dice } from './dice.js';
import { rawServerScript } from './raw-server.js';

/** The same for the same seed, for as long as the generator does not change. */
export function generate(seed: number): Script {
  const dice = new Dice(seed);
  const security = dice.pick(TRANSPORTS);
  return rawServerScript(dice, security);
}
