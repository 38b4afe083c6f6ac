/** Random scripts of raw clients, and of the handlers of their server. */

import { KINDS } from '../../support/kinds.js';
import { PATHS } from '../calls.js';
import type { Transport } from '../library.js';
import type { RawClientScript } from '../script.js';
import type { Frame } from '../wire/frames.js';
import type { Step } from '../wire/steps.js';
import { automatic } from './automatic.js';
import type { Dice } from './dice.js';
import { frameStep, mutate, streamId } from './mutate.js';
import { handlerPlan } from './plans.js';

export function rawClientScript(dice: Dice, security: Transport): RawClientScript {
  return {
    family: 'raw client',
    security,
    handlers: dice.times(1 + dice.below(3), () => handlerPlan(dice)),
    connections: dice.times(dice.pick([1, 1, 1, 2]), (index) => connection(dice, index)),
    automatic: automatic(dice),
    ending: dice.pick(['tryShutdown', 'tryShutdown', 'forceShutdown']),
  };
}

/** Calls are named by their streams: each connection has its own. */
function connection(dice: Dice, index: number): Step[] {
  const steps: Step[] = [];
  if (dice.once(8)) steps.push({ do: 'pause' });
  steps.push(frameStep({ frame: 'preface' }), frameStep({ frame: 'settings' }));
  if (dice.once(3)) steps.push({ do: 'wait', sight: 'settings' });
  const first = 1 + 20 * index;
  const calls = dice.pick([1, 1, 2, 3]);
  for (let call = 0; call < calls; call++) steps.push(...request(dice, first + 2 * call));
  if (dice.once(5)) steps.push(frameStep({ frame: 'goaway', last: 0, code: dice.pick([0, 2]) }));
  if (dice.once(5)) steps.push({ do: dice.pick(['end', 'destroy']) });
  return mutate(dice, steps, () => requestFrame(dice, dice.once(3) ? first : streamId(dice)));
}

function request(dice: Dice, stream: number): Step[] {
  const method = PATHS[dice.pick(KINDS)];
  const steps: Step[] = [frameStep({ frame: 'request', stream, method })];
  const messages = dice.pick([0, 1, 1, 1, 2]);
  const endsWithMessage = messages > 0 && dice.once(2);
  for (let message = messages; message > 0; message--) {
    const size = dice.pick([0, 3, 200, 16_000]);
    steps.push(frameStep({ frame: 'message', stream, size, end: message === 1 && endsWithMessage }));
  }
  const end = endsWithMessage ? [] : [frameStep({ frame: 'end', stream })];
  switch (dice.below(6)) {
    case 0:
      steps.push(frameStep({ frame: 'rst', stream, code: dice.pick([0, 7, 8]) }));
      break;
    case 1:
      steps.push({ do: 'wait', sight: `headers ${stream}` });
      steps.push(frameStep({ frame: 'rst', stream, code: 8 }));
      break;
    case 2:
      break;
    case 3:
      steps.push(...end);
      break;
    default:
      steps.push(...end, { do: 'wait', sight: `end ${stream}` });
  }
  return steps;
}

function requestFrame(dice: Dice, stream: number): Frame {
  switch (dice.below(5)) {
    case 0:
      return { frame: 'request', stream, method: dice.pick([PATHS.unary, '/no.Such/Method']) };
    case 1:
      return { frame: 'message', stream, size: dice.pick([0, 10, 30_000]), end: dice.once(3) };
    case 2:
      return { frame: 'half-message', stream, size: 10, end: dice.once(3) };
    case 3:
      return { frame: 'trailers', stream, status: 0 };
    default:
      return { frame: 'end', stream };
  }
}
