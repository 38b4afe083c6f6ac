/** Who can receive in a history, and what. */
import type { Outcome, Receive } from '../real/hands.js';
import { Attempt } from '../rules/call.js';
import { Connection } from '../rules/connection.js';
import { Credentials } from '../rules/credentials.js';
import type { Sending } from '../rules/descriptor.js';
import type { Model, Receiver } from '../rules/model.js';
import type { World } from '../world.js';
import { laneOf, laneOfCredentials } from './lanes.js';
import { pick } from './step.js';

/** Handlers, credentials, and the connections of clients without these. */
export function receivers(model: Model): Receiver[] {
  return [
    ...model.running.map(({ attempt }) => attempt),
    ...model.credentials.filter(canReceive),
    ...model.clients.flatMap(({ peers, connection }) =>
      peers === 'URL client' && connection?.open ? [connection] : [],
    ),
  ];
}

/** What their calls that wait will bring is another matter. */
function canReceive({ connections, collected, calls, started }: Credentials): boolean {
  return connections.size > 0 && !collected && started.length === calls.size;
}

/** Handlers whose calls have ended: nothing can be received with them. */
export function endedHandlers(model: Model): Attempt[] {
  const ended = model.calls.filter((call) => call.ended && !call.doomed && call.client.peers === 'exact');
  return ended.flatMap(({ attempts }) => attempts.slice(-1));
}

/** One of those to whom something came that may still be there, or of all. */
export function pickReceiver(all: readonly Receiver[], any: boolean, choice: number): Receiver | undefined {
  const likely = all.filter(
    (each) => !(each instanceof Credentials && each.closed) && cameTo(each).length > 0,
  );
  return pick(any || likely.length === 0 ? all : likely, choice);
}

/** One of what came to that receiver, or of all. */
export function pickSending(
  model: Model,
  receiver: Receiver,
  any: boolean,
  choice: number,
): Sending | undefined {
  const came = cameTo(receiver);
  return pick(any || came.length === 0 ? model.sendings : came, choice);
}

function cameTo(receiver: Receiver): Sending[] {
  if (receiver instanceof Attempt) {
    const { entries, connection } = receiver;
    const idle = connection.server.copies.filter(({ attempt }) => attempt === undefined);
    return [...entries.map(({ sending }) => sending), ...idle.map(({ sending }) => sending)];
  }
  const connections = receiver instanceof Connection ? [receiver] : [...receiver.connections];
  return connections.flatMap(({ atClient }) => atClient.copies.map(({ sending }) => sending));
}

export function describeReceiver(receiver: Receiver): string {
  if (receiver instanceof Connection) return `the connection of client ${receiver.client.index}`;
  if (receiver instanceof Credentials) return `credentials ${receiver.id}`;
  const { call, number } = receiver;
  return `the handler of ${number === 1 ? '' : `attempt ${number} of `}call ${call.id}`;
}

export function laneOfReceiver(receiver: Receiver): string {
  if (receiver instanceof Connection) return `connection of client ${receiver.client.index}`;
  return receiver instanceof Attempt ? laneOf(receiver.call) : laneOfCredentials(receiver);
}

/** It knows names by inode only, waits for nothing, and says nothing of what it has let go of. */
export function isGoLike(receiver: Receiver): boolean {
  if (receiver instanceof Connection) return true;
  return receiver instanceof Attempt && receiver.call.client.peers === 'URL server';
}

export function receiveAt(world: World, receiver: Receiver, what: Receive): Promise<Outcome> {
  if (receiver instanceof Attempt) {
    return world.server(receiver.call.client).receive(world.attemptId(receiver), what);
  }
  const whose = receiver instanceof Connection ? receiver.client : receiver;
  return world.clients.hands.receive(world.clients.transceiver(whose), what);
}

/** Not at one that is Go-like. */
export function receiveSeveralAt(
  world: World,
  receiver: Receiver,
  names: readonly string[],
  what: Pick<Receive, 'file' | 'keep'>,
): Promise<Outcome> {
  if (receiver instanceof Attempt) {
    return world.server(receiver.call.client).receiveSeveral(world.attemptId(receiver), names, what);
  }
  return world.clients.hands.receiveSeveral(world.clients.credentials(receiver as Credentials), names, what);
}
