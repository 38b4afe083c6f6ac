import type { Automatic } from '../wire/steps.js';
import type { Dice } from './dice.js';

/** What a raw peer answers by itself: mostly all that it should. */
export function automatic(dice: Dice): Automatic {
  return { settingsAck: !dice.once(8), pingAck: !dice.once(8), window: !dice.once(8) };
}
