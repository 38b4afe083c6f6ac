/** What the steps of a history have in common. */
import type { AsyncCommand } from 'fast-check';
import { OPEN_FILES_OF_A_PIPE } from '../real/pipes.js';
import { Client } from '../rules/connection.js';
import type { Credentials } from '../rules/credentials.js';
import type { Sending } from '../rules/descriptor.js';
import type { Model } from '../rules/model.js';
import type { Pipe } from '../rules/pipe.js';
import type { World } from '../world.js';

/** The choices of a step are numbers. What they stand for is known when the step runs. */
export abstract class Step implements AsyncCommand<Model, World> {
  constructor(
    /** Whether the next step runs at the same time. */
    readonly atOnce: boolean,
  ) {}

  /** Whether it is possible. */
  abstract check(model: Model): boolean;

  async run(model: Model, world: World): Promise<void> {
    await this.perform(model, world);
    if (!this.atOnce) await world.settle();
  }

  /** The world tells what its choices stood for. */
  toString(): string {
    return this.constructor.name;
  }

  /** Changes the model, and has the world do the same. */
  protected abstract perform(model: Model, world: World): Promise<void>;
}

/** What to send: a pipe that was sent before, or a new one. */
export interface SendSpec {
  readonly pipe: number | undefined;
  readonly refused: boolean;
}

export function pick<T>(list: readonly T[], choice: number): T | undefined {
  return list[choice % Math.max(list.length, 1)];
}

export function newSendings(model: Model, specs: readonly SendSpec[], exact: boolean): Sending[] {
  return specs.map(({ pipe, refused }) => {
    const known = pipe === undefined || refused ? undefined : pick(model.pipes.filter(hasRoom), pipe);
    return model.newSending(known ?? model.newPipe(), refused, exact);
  });
}

function hasRoom({ openFiles }: Pipe): boolean {
  return openFiles < OPEN_FILES_OF_A_PIPE;
}

/** @param from the client, where it sends on its connection */
export function describeSendings(sendings: readonly Sending[], from?: Credentials | Client): string {
  if (sendings.length === 0) return '';
  const each = sendings.map(({ id, pipe, refused }) => `${id} (${refused ? 'refused' : `pipe ${pipe.id}`})`);
  const how = from instanceof Client ? ' sent on the connection' : '';
  return ` with ${sendings.length > 1 ? 'descriptors' : 'descriptor'} ${each.join(', ')}${how}`;
}

/** Waits until nothing is under way where the end of these credentials may have what their connections hold closed. */
export async function settleBeforeEndOf(
  credentials: readonly Credentials[],
  model: Model,
  world: World,
): Promise<void> {
  const isLast = (each: Credentials) =>
    [...each.connections].some((connection) => connection.isLast(each, model.time));
  if (credentials.some(isLast)) await world.settle();
}
