/** Makes of a correct conversation of a raw peer one that is not, or one that is cut and timed in another way. */
import type { Frame } from '../wire/frames.js';
import type { Step } from '../wire/steps.js';
import type { Dice } from './dice.js';

const CODES = [0, 1, 2, 3, 5, 7, 8, 11, 13] as const;

export function frameStep(frame: Frame): Step {
  return { do: 'frame', frame };
}

/** Up to four changes, and flushes at random places. */
export function mutate(dice: Dice, steps: readonly Step[], strangeFrame: () => Frame): Step[] {
  const changed = [...steps];
  for (let change = dice.pick([0, 0, 1, 1, 2, 4]); change > 0; change--) {
    const place = dice.place(changed);
    switch (dice.below(8)) {
      case 0:
      case 1:
      case 2:
        changed.splice(place, 0, frameStep(dice.once(2) ? commonFrame(dice) : strangeFrame()));
        break;
      case 3:
        changed.splice(place, 1);
        break;
      case 4:
        changed.splice(place, 2, ...changed.slice(place, place + 2).reverse());
        break;
      case 5:
        changed.splice(place, 0, ...changed.slice(place, place + 1));
        break;
      case 6:
        changed.splice(place, 0, { do: dice.pick(['end', 'destroy']) });
        break;
      case 7:
        changed.splice(place, 0, { do: 'pause' });
        if (dice.once(2)) changed.splice(place + 1 + dice.below(4), 0, { do: 'resume' });
        break;
    }
  }
  return timed(dice, changed);
}

/** Frames that either side may send, in other places than these at least. */
function commonFrame(dice: Dice): Frame {
  const stream = streamId(dice);
  switch (dice.below(9)) {
    case 0:
      return { frame: 'settings', values: settings(dice) };
    case 1:
      return { frame: 'settings-ack' };
    case 2:
    case 3:
      return { frame: 'rst', stream, code: dice.pick(CODES) };
    case 4:
    case 5:
      return { frame: 'goaway', last: dice.pick([0, 1, 3, 2 ** 31 - 1]), code: dice.pick(CODES) };
    case 6:
      return { frame: dice.pick(['ping', 'ping', 'ping-ack']) };
    case 7:
      return { frame: 'window', stream: dice.pick([0, stream]), by: dice.pick([1, 1_000, 2 ** 31 - 1]) };
    default:
      return { frame: 'unknown' };
  }
}

export function streamId(dice: Dice): number {
  return dice.pick([1, 1, 1, 3, 3, 5, 2, 99]);
}

function settings(dice: Dice): (readonly [number, number])[] {
  /** INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, HEADER_TABLE_SIZE. */
  const choices = [
    [4, dice.pick([0, 1, 100, 1_000_000])],
    [3, dice.pick([0, 1, 100])],
    [5, dice.pick([16_384, 1_000_000])],
    [1, dice.pick([0, 4_096])],
  ] as const;
  return dice.once(2) ? [dice.pick(choices)] : [];
}

/** Some frames in one write, others apart; some writes cut in pieces; some pauses. */
function timed(dice: Dice, steps: readonly Step[]): Step[] {
  const flushes = dice.pick([1, 2, 4, 1_000]);
  return steps.flatMap((step): Step[] => {
    if (step.do !== 'frame' || !dice.once(flushes)) return [step];
    const after: Step[] = [{ do: 'flush', ...dice.maybe(4, () => ({ cuts: cuts(dice) })) }];
    if (dice.once(2)) after.push({ do: 'turns', count: dice.pick([1, 1, 2, 5]) });
    else if (dice.once(20)) after.push({ do: 'ms', count: dice.pick([1, 2]) });
    return [step, ...after];
  });
}

function cuts(dice: Dice): number[] {
  return dice.times(1 + dice.below(3), () => dice.below(1_000)).sort((a, b) => a - b);
}
