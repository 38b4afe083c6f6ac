/** Histories at random. */
import * as fc from 'fast-check';
import { KINDS } from '../../support/kinds.js';
import { canRefuse } from '../real/pipes.js';
import type { Model } from '../rules/model.js';
import { HOLDS } from '../rules/switches.js';
import type { World } from '../world.js';
import { ClientMessage, EndCall, ServerMessage, Start } from './calls.js';
import { Doomed, EndCredentials, Kill, UseFile } from './ends.js';
import { AbortWait, Receive } from './receive.js';
import { ReceiveAll, ReceiveSeveral } from './receive-several.js';

const choice = fc.nat(999);
const kind = fc.constantFrom(...KINDS);
const atOnce = fc.boolean();
const by = fc.constantFrom('ref' as const, 'url' as const);
const once = (times: number) =>
  fc.oneof({ arbitrary: fc.constant(false), weight: times - 1 }, { arbitrary: fc.constant(true), weight: 1 });

/** Client 1 tries calls again. */
const CLIENTS = [0, 1, 1, 2, 3, 4, ...(HOLDS.callsWaitForStreams ? [5, 5] : [])];

const send = fc.record({
  pipe: fc.option(choice, { nil: undefined, freq: 2 }),
  refused: canRefuse ? once(12) : fc.constant(false),
});
const sends = fc.array(send, { maxLength: 5, size: 'max' });

const start = fc
  .record({
    client: fc.constantFrom(...CLIENTS),
    kind,
    credentials: fc.array(fc.option(choice, { nil: undefined }), { maxLength: 2, size: 'max' }),
    sends,
    onConnection: once(5),
    headers: fc.boolean(),
    atOnce,
  })
  .map((choices) => new Start(choices));

const message = fc.record({ call: choice, sends, atOnce });

const receive = fc
  .record({
    receiver: choice,
    sending: choice,
    any: once(8),
    by,
    keep: once(4),
    asFile: fc.boolean(),
    atOnce,
  })
  .map((choices) => new Receive(choices));

const several = fc
  .record({
    receiver: choice,
    sendings: fc.array(fc.record({ sending: choice, by }), { minLength: 1, maxLength: 4, size: 'max' }),
    keep: once(4),
    any: once(4),
    atOnce,
  })
  .map((choices) => new ReceiveSeveral(choices));

const doomed = fc
  .record({
    client: choice,
    kind,
    sends,
    late: fc.array(send, { maxLength: 2, size: 'max' }),
    how: fc.constantFrom('cancel' as const, 'deadline' as const),
    after: fc.nat(4),
  })
  .map((choices) => new Doomed(choices));

const step: fc.Arbitrary<fc.AsyncCommand<Model, World>> = fc.oneof(
  { weight: 60, arbitrary: start },
  { weight: 40, arbitrary: message.map((choices) => new ClientMessage(choices)) },
  { weight: 40, arbitrary: message.map((choices) => new ServerMessage(choices, false)) },
  { weight: 30, arbitrary: message.map((choices) => new ServerMessage(choices, true)) },
  {
    weight: 12,
    arbitrary: fc
      .record({
        call: choice,
        how: fc.constantFrom(
          'cancel' as const,
          'unavailable' as const,
          'unavailable' as const,
          'aborted' as const,
        ),
        atOnce,
      })
      .map((choices) => new EndCall(choices)),
  },
  { weight: 200, arbitrary: receive },
  { weight: 40, arbitrary: several },
  { weight: 15, arbitrary: fc.record({ call: choice, atOnce }).map((choices) => new ReceiveAll(choices)) },
  { weight: 5, arbitrary: fc.record({ wait: choice, atOnce }).map((choices) => new AbortWait(choices)) },
  {
    weight: 100,
    arbitrary: fc
      .record({ file: choice, duplicates: once(8), atOnce })
      .map((choices) => new UseFile(choices)),
  },
  {
    weight: 25,
    arbitrary: fc
      .record({ credentials: choice, collects: once(40), atOnce })
      .map((choices) => new EndCredentials(choices)),
  },
  {
    weight: 3,
    arbitrary: fc.record({ client: choice, atServer: fc.boolean() }).map((choices) => new Kill(choices)),
  },
  { weight: 4, arbitrary: doomed },
);

/** @param replayPath of a history that failed before */
export function histories(maxSteps: number, replayPath?: string) {
  return fc.commands([step], {
    maxCommands: maxSteps,
    size: 'max',
    ...(replayPath === undefined ? {} : { replayPath }),
  });
}
