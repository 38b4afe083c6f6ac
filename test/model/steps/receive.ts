/** Steps that receive one descriptor, or end a receive that waits. */
import type { Outcome } from '../real/hands.js';
import { type Expected, isCertain } from '../rules/expected.js';
import type { Model } from '../rules/model.js';
import type { Wait } from '../rules/wait.js';
import type { World } from '../world.js';
import { laneOfFile, laneOfPipe, laneOfSending } from './lanes.js';
import {
  describeReceiver,
  endedHandlers,
  isGoLike,
  laneOfReceiver,
  pickReceiver,
  pickSending,
  receiveAt,
  receivers,
} from './receivers.js';
import { pick, Step } from './step.js';

export interface ReceiveChoices {
  readonly receiver: number;
  readonly sending: number;
  /** Also what cannot be received by that receiver. */
  readonly any: boolean;
  readonly by: 'ref' | 'url';
  readonly keep: boolean;
  readonly asFile: boolean;
  readonly atOnce: boolean;
}

export class Receive extends Step {
  constructor(readonly choices: ReceiveChoices) {
    super(choices.atOnce);
  }

  check(model: Model): boolean {
    return model.sendings.length > 0 && receivers(model).length > 0;
  }

  protected async perform(model: Model, world: World): Promise<void> {
    const { any, keep } = this.choices;
    const all = any ? [...receivers(model), ...endedHandlers(model)] : receivers(model);
    const receiver = pickReceiver(all, any, this.choices.receiver);
    if (receiver === undefined) return;
    const sending = pickSending(model, receiver, any, this.choices.sending);
    if (sending === undefined) return;
    const by = sending.exact && !isGoLike(receiver) ? this.choices.by : 'url';
    if (by === 'url' && sending.refused) return;
    const expect = () =>
      by === 'ref' ? model.byRef(receiver, sending) : model.byUrl(receiver, sending.pipe);
    let expected = expect();
    const certain = isCertain(expected);
    if (isGoLike(receiver) && (!certain || expected.gives.length === 0)) return;
    if (!certain) {
      await world.settle();
      expected = expect();
    }
    if (by === 'ref') model.choose(receiver, sending);
    const file = model.nextFile();
    const asFile = this.choices.asFile && !isGoLike(receiver);
    const change = (outcome: Outcome['kind']) => {
      if (outcome === 'received')
        model.receive(expected.gives, file, { moves: by === 'ref' && !keep, asFile });
      else if (outcome === 'waits') model.wait(receiver, sending.pipe, file, asFile);
    };
    if (certain) change(kindOf(expected));
    const text = `${describeReceiver(receiver)} receives descriptor ${sending.id} by ${by}${keep ? ', to keep' : ''} as file ${file}`;
    const touched = {
      alone: [
        laneOfReceiver(receiver),
        laneOfFile(file),
        by === 'url' ? laneOfPipe(sending.pipe) : laneOfSending(sending),
      ],
      shared: [laneOfPipe(sending.pipe)],
    };
    world.count(`receives by ${by}${by === 'ref' && keep ? ', to keep' : ''}`);
    world.do(text, touched, async () => {
      const outcome = await receiveAt(world, receiver, {
        file,
        name: world.nameOf(sending, by),
        keep,
        asFile,
      });
      world.compare.one(text, outcome, expected, file);
      if (!certain) change(outcome.kind);
    });
    if (!certain) await world.settle();
  }
}

/** Of an expectation that is certain. */
function kindOf({ gives, mayWait }: Expected): Outcome['kind'] {
  if (gives.length > 0) return 'received';
  return mayWait ? 'waits' : 'failed';
}

/** A receive that waits is aborted. */
export class AbortWait extends Step {
  constructor(readonly choices: { readonly wait: number; readonly atOnce: boolean }) {
    super(choices.atOnce);
  }

  check(model: Model): boolean {
    return model.waits.size > 0;
  }

  protected async perform(model: Model, world: World): Promise<void> {
    const wait = pick([...model.waits], this.choices.wait) as Wait;
    const { id, pipe } = wait;
    await world.settle();
    wait.fail('ABORTED');
    world.do(`abort receive ${id}`, { alone: [laneOfPipe(pipe)] }, () => world.placeOf(wait).abort(id));
  }
}
