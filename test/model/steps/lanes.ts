/** What the actions of a history have in common, and must not have at the same time. */
import type { Touched } from '../real/lanes.js';
import type { Attempt, Call } from '../rules/call.js';
import type { Credentials } from '../rules/credentials.js';
import type { Sending } from '../rules/descriptor.js';
import type { Model } from '../rules/model.js';
import type { Pipe } from '../rules/pipe.js';

/** What an action in which descriptors arrive must have for itself. */
export function touchedBy(
  model: Model,
  call: Call,
  sendings: readonly Sending[],
  others: readonly string[] = [],
): Touched {
  const pipes = [...new Set(sendings.map(({ pipe }) => pipe))];
  const inOrder = (pipe: Pipe) =>
    call.client.peers !== 'exact' ||
    pipe.waitSettledAt === model.time ||
    [...model.waits].some((wait) => wait.pipe === pipe);
  return {
    alone: [
      laneOf(call),
      ...sendings.map(laneOfSending),
      ...pipes.filter(inOrder).map(laneOfPipe),
      ...others,
    ],
    shared: pipes.map(laneOfPipe),
  };
}

export const laneOf = ({ id }: Call) => `call ${id}`;
export const laneOfSending = ({ id }: Sending) => `descriptor ${id}`;
export const laneOfPipe = ({ id }: Pipe) => `pipe ${id}`;
export const laneOfCredentials = ({ id }: Credentials) => `credentials ${id}`;
export const laneOfFile = (id: number) => `file ${id}`;

/** Lanes of everything that may be let go of with these credentials, by whatever name somebody receives it, or is about to. */
export function lanesOfHeldFor(credentials: readonly Credentials[]): string[] {
  const connections = new Set(credentials.flatMap((each) => [...each.connections]));
  return [...connections]
    .flatMap(({ atClient }) => atClient.copies)
    .filter(({ isHere, state }) => isHere || state === 'moved')
    .flatMap(({ sending }) => [laneOfSending(sending), laneOfPipe(sending.pipe)]);
}

/** Lanes of receives that wait and come to their end with a call, or with credentials, and of those that are about to. */
export function lanesOfWaits({ waits, pastWaits }: Attempt | Credentials): string[] {
  return [...[...waits].map(({ pipe }) => laneOfPipe(pipe)), ...pastWaits.map(laneOfFile)];
}
