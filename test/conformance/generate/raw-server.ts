/** Random scripts of a raw server, and of the calls of its client. */
import type { CallPlan } from '../calls.js';
import type { Transport } from '../library.js';
import type { RawServerScript } from '../script.js';
import type { Frame } from '../wire/frames.js';
import type { Step } from '../wire/steps.js';
import { automatic } from './automatic.js';
import type { Dice } from './dice.js';
import { frameStep, mutate, streamId } from './mutate.js';
import { callPlan, largeCallPlans } from './plans.js';

export function rawServerScript(dice: Dice, security: Transport): RawServerScript {
  const large = dice.once(30);
  const calls = large ? largeCallPlans(dice) : dice.times(1 + dice.below(3), () => callPlan(dice));
  return {
    family: 'raw server',
    security,
    calls,
    connections: dice.times(dice.pick([1, 1, 2]), () => connection(dice, calls, large)),
    // Without more window, large requests still wait to be written when they are refused.
    automatic: { ...automatic(dice), ...(large && dice.once(2) ? { window: false } : {}) },
    ending: dice.pick(['another call', 'another call', 'close', 'cancel and close']),
  };
}

function connection(dice: Dice, calls: readonly CallPlan[], large: boolean): Step[] {
  const steps: Step[] = [];
  if (dice.once(6)) steps.push({ do: 'pause' });
  if (dice.once(4)) steps.push({ do: 'wait', sight: 'preface' });
  steps.push(frameStep({ frame: 'settings' }));
  const answered = dice.once(8) ? 0 : calls.length;
  for (let call = 0; call < answered; call++) {
    const stream = 2 * call + 1;
    steps.push(...(large && !dice.once(3) ? refusal(dice, stream) : answer(dice, stream)));
  }
  if (dice.once(6)) steps.push(...farewell(dice));
  return mutate(dice, steps, () => responseFrame(dice, streamId(dice)));
}

/** What a server may do about a call, and when. */
function answer(dice: Dice, stream: number): Step[] {
  const steps: Step[] = [{ do: 'wait', sight: `headers ${stream}` }];
  const moment = dice.below(4);
  if (moment === 0) steps.push({ do: 'wait', sight: `data ${stream}` });
  if (moment === 1) steps.push({ do: 'wait', sight: `end ${stream}` });
  switch (dice.below(8)) {
    case 0:
      steps.push(frameStep({ frame: 'trailers-only', stream, status: dice.pick([0, 8, 14]) }));
      if (dice.once(2)) steps.push(frameStep({ frame: 'rst', stream, code: 0 }));
      break;
    case 1:
      steps.push(frameStep({ frame: 'rst', stream, code: dice.pick([0, 2, 7, 8]) }));
      break;
    case 2:
      steps.push(...farewell(dice));
      break;
    default:
      steps.push(frameStep({ frame: 'response', stream }));
      for (let message = dice.pick([0, 1, 1, 1, 3]); message > 0; message--) {
        steps.push(frameStep({ frame: 'message', stream, size: dice.pick([0, 5, 100, 20_000]) }));
      }
      steps.push(frameStep({ frame: 'trailers', stream, status: dice.pick([0, 0, 0, 5]) }));
      if (dice.once(4)) steps.push(frameStep({ frame: 'rst', stream, code: 0 }));
  }
  return steps;
}

/** What servers do that do not want the rest of a request. */
function refusal(dice: Dice, stream: number): Step[] {
  return [
    { do: 'wait', sight: `data ${stream}` },
    ...(dice.once(2) ? [{ do: 'turns', count: 3 } as const] : []),
    frameStep({ frame: 'trailers-only', stream, status: 8 }),
    frameStep({ frame: 'rst', stream, code: 0 }),
  ];
}

function farewell(dice: Dice): Step[] {
  const goaway = frameStep({ frame: 'goaway', last: dice.pick([0, 1, 3, 2 ** 31 - 1]), code: 0 });
  const last = dice.below(4);
  return last < 2 ? [goaway, { do: last === 0 ? 'end' : 'destroy' }] : [goaway];
}

function responseFrame(dice: Dice, stream: number): Frame {
  const status = dice.pick([0, 3, 14]);
  switch (dice.below(6)) {
    case 0:
      return { frame: 'response', stream };
    case 1:
      return { frame: 'trailers', stream, status };
    case 2:
      return { frame: 'trailers-only', stream, status };
    case 3:
      return { frame: 'message', stream, size: dice.pick([0, 10, 30_000]), end: dice.once(4) };
    case 4:
      return { frame: 'half-message', stream, size: 10, end: dice.once(4) };
    default:
      return { frame: 'end', stream };
  }
}
