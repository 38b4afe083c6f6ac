import assert from 'node:assert/strict';
import { closeSync, openSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import type { Connection } from '#src/grpc/connection.js';
import { native } from '#src/native/binding.js';
import { isDropped } from '../support/dropped.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { conversation } from '../support/kinds.js';
import { assertConnected, closing, openFileOf } from '../support/open-file.js';
import { RETRY } from '../support/policies.js';
import { type Random, randomFrom, seedOfThisRun } from '../support/random.js';
import { dial, type Message, serve, type TestClient } from '../support/service.js';
import { temporaryDirectory } from '../support/temporary.js';

/**
 * Thousands of concurrent calls with random connections, attempts and outcomes. Each handler checks each descriptor that
 * it received. GRPCFD_SEED repeats the choices of a run, but not its timing.
 */

trackDescriptors();

const CALLS = 10_000;
const AT_A_TIME = 500;
const CONNECTIONS = 4;
const FILES = 30;

/** The course of a call, chosen before it starts. */
interface Plan {
  readonly id: number;
  readonly client: number;
  readonly streaming: boolean;
  /** Indexes in the pool of files. */
  readonly files: readonly number[];
  readonly pipes: number;
  /** The number of attempts that the handler fails. */
  readonly failures: number;
  readonly cancelAfterMs: number | undefined;
  readonly deadlineMs: number | undefined;
  /** One of the connections of the server dies when the call starts. */
  readonly kills: number | undefined;
}

function planOf(id: number, random: Random): Plan {
  const chance = (percent: number) => random(100) < percent;
  const streaming = chance(30);
  return {
    id,
    client: random(CONNECTIONS),
    streaming,
    files: Array.from({ length: random(4) === 0 ? random(9) : random(4) }, () => random(FILES * 2)),
    pipes: chance(30) ? 1 + random(2) : 0,
    failures: chance(20) ? 1 + random(2) : 0,
    cancelAfterMs: streaming && chance(20) ? random(20) : undefined,
    deadlineMs: chance(10) ? 1 + random(100) : undefined,
    kills: random(400) === 0 ? random(CONNECTIONS) : undefined,
  };
}

/** Two open files of each of many inodes, which differ in access mode or in offset. The end of the test closes them. */
function poolOfFiles(): number[] {
  const directory = temporaryDirectory();
  const pool = Array.from({ length: FILES }, (_, index) => {
    const path = join(directory, `${index}`);
    writeFileSync(path, `content of file ${index}`);
    const atOffset1 = openSync(path, 'r');
    readSync(atOffset1, Buffer.alloc(1));
    return [atOffset1, openSync(path, index % 2 === 0 ? 'r' : 'r+')];
  }).flat();
  defer(() => pool.forEach(closeSync));
  return pool;
}

/** Content, access mode, offset. */
function identityOf(fd: number): string {
  const buffer = Buffer.alloc(64);
  return `${buffer.toString('utf8', 0, readSync(fd, buffer, 0, buffer.length, 0))} ${openFileOf(fd)}`;
}

const unavailable = Object.assign(new Error('not this time'), { code: grpc.status.UNAVAILABLE });

class Stress {
  readonly identities: readonly string[];
  readonly clients: TestClient[] = [];
  readonly serverConnections = new Set<Connection>();
  /** Descriptions of everything that went wrong. */
  readonly wrong: string[] = [];
  readonly tally = new Map<string, number>();
  readonly #attempts = new Map<number, number>();

  constructor(readonly pool: readonly number[]) {
    this.identities = pool.map(identityOf);
  }

  count(what: string): void {
    this.tally.set(what, (this.tally.get(what) ?? 0) + 1);
  }

  /** The handler receives `{ call, failures }`, then `{ file, index }` and `{ pipe }`. */
  async answer(request: Message, fds: grpcfd.FdTransceiver): Promise<Message> {
    const { call, failures, file, index, pipe } = request;
    try {
      if (typeof call === 'number') return this.#attempt(call, Number(failures));
      if (pipe !== undefined) {
        await using ends = await fds.recvFiles(pipe as { out: string; into: string }, ['out', 'into']);
        assertConnected(ends.into.fd, ends.out.fd);
        this.count('pipes proven');
        return {};
      }
      await using received = await fds.recvFile(String(file));
      assert.equal(identityOf(received.fd), this.identities[Number(index)]);
      this.count('files proven');
      const answer = (Number(index) + 1) % this.pool.length;
      return { file: fds.sendFd(this.pool[answer] ?? -1).ref, index: answer };
    } catch (error) {
      if (error !== unavailable) this.#explain('in a handler', error, ['CALL_ENDED', 'CONNECTION_CLOSED']);
      throw error;
    }
  }

  #attempt(call: number, failures: number): Message {
    const attempt = (this.#attempts.get(call) ?? 0) + 1;
    this.#attempts.set(call, attempt);
    if (attempt > 1) this.count('attempts after the first');
    if (attempt <= failures) throw unavailable;
    return {};
  }

  /** The client side of a call. */
  async run(plan: Plan): Promise<void> {
    if (plan.kills !== undefined) [...this.serverConnections][plan.kills]?.socket.destroy();
    const fds = grpcfd.callCredentials();
    try {
      await this.#call(plan, fds);
      this.count('OK');
    } catch (error) {
      const { code, details } = error as grpc.ServiceError;
      this.count(grpc.status[code] ?? String(error));
      const expected =
        isDropped({ code, details }) ||
        (code === grpc.status.CANCELLED && plan.cancelAfterMs !== undefined) ||
        (code === grpc.status.DEADLINE_EXCEEDED && plan.deadlineMs !== undefined);
      if (!expected) this.wrong.push(`call ${plan.id}: ${String(error)}`);
    } finally {
      fds.close();
    }
  }

  async #check(fds: grpcfd.FdTransceiver, { file, index }: Message): Promise<void> {
    if (file === undefined) return;
    try {
      await using received = await fds.recvFile(String(file));
      assert.equal(identityOf(received.fd), this.identities[Number(index)]);
      this.count('replies proven');
    } catch (error) {
      this.#explain('at a client', error, ['CONNECTION_CLOSED']);
    }
  }

  #explain(where: string, error: unknown, expected: readonly string[]): void {
    const reason = error instanceof grpcfd.GrpcFdError ? error.reason.replace('ERR_GRPCFD_', '') : '';
    this.count(`${where}: ${reason}`);
    if (!expected.includes(reason)) this.wrong.push(`${where}: ${String(error)}`);
  }

  #request(plan: Plan, fds: grpcfd.FdTransceiver): Message[] {
    const files = plan.files.map((index) => ({ file: fds.sendFd(this.pool[index] ?? -1).ref, index }));
    const pipes = Array.from({ length: plan.pipes }, () => {
      const [out, into] = native.testing.pipe();
      return closing(out, () => closing(into, () => ({ pipe: fds.refs({ out, into }) })));
    });
    return [...files, ...pipes];
  }

  async #call(plan: Plan, fds: grpcfd.FdCallCredentials): Promise<void> {
    const client = this.clients[plan.client];
    assert.ok(client !== undefined);
    const { id, failures, deadlineMs } = plan;
    const options = fds.options(deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs });
    const first = { call: id, failures };
    if (!plan.streaming) {
      const reply = await client.unary({ requests: [first, ...this.#request(plan, fds)] }, options);
      for (const each of reply['replies'] as Message[]) await this.#check(fds, each);
      return;
    }
    // Some of its descriptors are attached before it starts, some are sent while it runs.
    const early = this.#request(plan, fds);
    const call = client.bidi(options);
    const timer =
      plan.cancelAfterMs === undefined ? undefined : setTimeout(() => call.cancel(), plan.cancelAfterMs);
    try {
      for (const request of [first, ...early]) call.write(request);
      let replies = 0;
      for await (const reply of call) {
        await this.#check(fds, reply as Message);
        replies++;
        if (replies === 1) {
          for (const request of this.#request(plan, fds)) call.write(request);
          call.end();
        }
      }
    } finally {
      clearTimeout(timer);
    }
  }
}

test('In 10,000 calls over 4 connections that die, every descriptor is the right one, no descriptor leaks and no call hangs', async (t) => {
  const seed = seedOfThisRun();
  t.diagnostic(`GRPCFD_SEED=${seed}`);
  const random = randomFrom(seed);
  const stress = new Stress(poolOfFiles());
  const { address } = await serve(
    conversation((request, fds) => stress.answer(request, fds)),
    {
      options: {
        onConnection: (connection) => {
          stress.count('connections');
          stress.serverConnections.add(connection as Connection);
          void connection.closed.then(() => stress.serverConnections.delete(connection as Connection));
        },
      },
    },
  );
  for (let index = 0; index < CONNECTIONS; index++) {
    stress.clients.push(
      await dial(address, { clientOptions: { ...RETRY, 'grpc.use_local_subchannel_pool': 1 } }),
    );
  }
  const plans = Array.from({ length: CALLS }, (_, id) => planOf(id, random));
  const remaining = plans.values();
  const worker = async () => {
    for (const plan of remaining) await stress.run(plan);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  for (const [what, count] of [...stress.tally].sort()) t.diagnostic(`${what}: ${count}`);
  assert.deepEqual(stress.wrong.slice(0, 10), []);
  assert.ok((stress.tally.get('OK') ?? 0) > CALLS / 2);
});
