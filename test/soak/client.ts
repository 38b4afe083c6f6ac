// A client of a soak. `client.js TASK`. It makes calls on two channels from the start on.
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { type Random, randomFrom } from '../support/random.js';
import { stockChannelCredentials } from '../support/service.js';
import { Caller } from './caller.js';
import { type CallPlan, LONG_DEADLINE_MS, planCall } from './plan.js';
import { rehearse } from './rehearse.js';
import { SoakChild } from './soak-child.js';
import { Transfer } from './transfer.js';

const CHANNELS = 2;
const CALLERS_OF_A_CHANNEL = 3;
/** So often all callers of a channel pause, for longer than it takes a channel to become idle. */
const CALLS_BETWEEN_PAUSES = 400;
const PAUSE_MS = 2_500;
/** A call without descriptors whose reply shows that all that was sent before has been read. */
const LAST: Omit<CallPlan, 'deadlineMs'> = {
  rpc: 'unary',
  requests: [{ items: [], bytes: 0 }],
  replies: [{ items: [], bytes: 0 }],
  cancelMs: undefined,
  late: false,
  inOrder: false,
  atOnce: false,
  delayMs: 0,
  restMs: 0,
};

const child = new SoakChild();
const { task, book } = child;
await rehearse(child);
const transfer = new Transfer(task, book);
const caller = new Caller(task, book, transfer);
const credentials = grpcfd.channelCredentials(await stockChannelCredentials(task.security));
const clients = Array.from(
  { length: CHANNELS },
  () =>
    new grpc.Client(`unix:${join(task.directory, 'server.sock')}`, credentials, {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': 5,
      'grpc.min_reconnect_backoff_ms': 5,
      'grpc.max_reconnect_backoff_ms': 50,
      ...task.grpcOptions,
    }),
);
let isCalm = false;
let callers: Promise<void>[] = [];

/** Each caller has random numbers of its own, so that the turns of the others change nothing. */
async function callOften(client: grpc.Client, random: Random): Promise<void> {
  for (let calls = 1; !isCalm; calls++) {
    const plan = planCall(random);
    await caller.run(client, plan);
    await delay(plan.restMs);
    if (calls % CALLS_BETWEEN_PAUSES !== 0) continue;
    for (let waited = 0; waited < PAUSE_MS && !isCalm; waited += 50) await delay(50);
  }
}

child.obey({
  async calm() {
    isCalm = true;
    await Promise.all(callers);
  },
  async finish() {
    // With stock grpc-js, too, a channel that is closed while it connects may leave its connection open.
    for (const client of clients) await caller.run(client, { ...LAST, deadlineMs: LONG_DEADLINE_MS });
    for (const client of clients) client.close();
  },
});

callers = clients.flatMap((client, channel) =>
  Array.from({ length: CALLERS_OF_A_CHANNEL }, (_, index) =>
    callOften(client, randomFrom(task.seed + channel * CALLERS_OF_A_CHANNEL + index)),
  ),
);
