/** Random scripts of a client and a server, shutdowns of each kind among them. */
import type { Transport } from '../library.js';
import type { BothEndsScript, Deed } from '../script.js';
import type { Dice } from './dice.js';
import { callPlan, handlerPlan } from './plans.js';

export function bothEndsScript(dice: Dice, security: Transport): BothEndsScript {
  const calls = 1 + dice.below(5);
  const deeds: Deed[] = [];
  for (let call = 0; call < calls; call++) {
    deeds.push({ do: 'call', plan: { ...callPlan(dice), start: 0 } });
    deeds.push(...between(dice, call));
  }
  return {
    family: 'both ends',
    security,
    handlers: dice.times(1 + dice.below(3), () => handlerPlan(dice)),
    deeds,
  };
}

/** What happens after a call has started. */
function between(dice: Dice, call: number): Deed[] {
  const deeds: Deed[] = [];
  const wait = (): Deed => {
    if (dice.once(2)) return { do: 'settle' };
    return dice.once(8) ? { do: 'ms', count: 1 } : { do: 'turns', count: dice.pick([0, 1, 2, 4, 8, 16]) };
  };
  if (!dice.once(3)) deeds.push(wait());
  switch (dice.below(12)) {
    case 0:
      deeds.push({ do: 'cancel', call: dice.below(call + 1) });
      break;
    case 1:
    case 2:
      deeds.push({ do: 'restart' });
      break;
    case 3:
      deeds.push({ do: 'tryShutdown' });
      if (dice.once(2)) deeds.push(wait(), { do: 'restart' });
      break;
    case 4:
      deeds.push({ do: 'forceShutdown' });
      if (!dice.once(3)) deeds.push(wait(), { do: 'restart' });
      break;
    case 5:
      if (dice.once(2)) deeds.push({ do: 'close client' });
      break;
  }
  return deeds;
}
