// A client that does nothing wrong: `bystander.js ADDRESS SECURITY ROLE [PATIENCE]`. It makes calls with descriptors in both directions, all the
// time. As 'steady' it makes them on a connection that it had before. As 'newcomers' it makes a connection for each, for which it waits for PATIENCE
// milliseconds. It is a process of its own then: a channel that is closed while it backs off connects once more, with stock grpc-js, too, and
// nobody closes that connection.
import { setTimeout as delay } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { type Security, stockChannelCredentials, TestClient } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';
import type { BystanderOrder, BystanderReport, Served } from './messages.js';

const [, , address = '', security = '', role = '', patience = ''] = process.argv;
/** A call that takes so long hangs. */
const HANG_MS = 20_000;
const STEADY_PAUSE_MS = 2;
const NEWCOMER_PAUSE_MS = 40;
const MOST_PROBLEMS = 10;

const stock = await stockChannelCredentials(security as Security);
const credentials = grpcfd.channelCredentials(stock);
const problems: string[] = [];
const refusals = new Set<string>();
let running = true;
let number = 0;

/** A newcomer waits for a connection. */
const waiting = new grpc.Metadata({ waitForReady: true });

class Tally {
  readonly #times: number[] = [];
  failed = 0;

  add(ms: number): void {
    this.#times.push(ms);
  }

  get served(): Served {
    const sorted = this.#times.sort((a, b) => a - b);
    return {
      calls: sorted.length,
      failed: this.failed,
      p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
      maxMs: sorted.at(-1) ?? 0,
    };
  }
}

const served = new Tally();

function problem(text: string): void {
  if (problems.length < MOST_PROBLEMS) problems.push(text);
}

const newClient = () =>
  new TestClient(address, credentials, {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.initial_reconnect_backoff_ms': 20,
    'grpc.max_reconnect_backoff_ms': 100,
  });

/** Rejects if the call fails. A wrong file is a problem of the storm, whatever else happens. */
async function call(client: TestClient, tally: Tally, hangMs = HANG_MS): Promise<void> {
  const text = `${process.pid} ${number++}`;
  const began = performance.now();
  using fds = grpcfd.callCredentials();
  const file = fileWith(text);
  const { ref } = fds.sendFd(file);
  native.close(file);
  const options = { ...fds.options(), deadline: Date.now() + hangMs };
  const reply = (await client.unary({ file: ref }, options, waiting)) as { content: string; file: string };
  const content = contentOf(await fds.recvFd(reply.file));
  tally.add(performance.now() - began);
  if (reply.content !== text || content !== `reply to ${text}`)
    problem(`a wrong file: ${text} became ${reply.content} and ${content}`);
}

async function callSteadily(): Promise<void> {
  const client = newClient();
  await call(client, new Tally());
  process.send?.({ kind: 'ready', problems: [] } satisfies BystanderReport);
  await begun;
  while (running) {
    await call(client, served).catch((error: Error) => {
      served.failed++;
      problem(`a call failed: ${error.message}`);
    });
    await delay(STEADY_PAUSE_MS);
  }
  // Its connection stays until the process is killed, so that what is left of the storm can be told from it.
}

async function comeAnew(): Promise<void> {
  process.send?.({ kind: 'ready', problems: [] } satisfies BystanderReport);
  await begun;
  while (running) {
    const client = newClient();
    await call(client, served, Number(patience)).catch((error: Error) => {
      served.failed++;
      if (refusals.size < MOST_PROBLEMS) refusals.add(error.message);
    });
    client.grpc.close();
    await delay(NEWCOMER_PAUSE_MS);
  }
}

let begin: () => void = () => {};
const begun = new Promise<void>((resolve) => {
  begin = resolve;
});
process.on('message', ({ kind }: BystanderOrder) => {
  if (kind === 'begin') begin();
  else running = false;
});
process.on('disconnect', () => process.exit());
await (role === 'steady' ? callSteadily() : comeAnew());
process.send?.({
  kind: 'ended',
  problems,
  served: served.served,
  refusals: [...refusals],
} satisfies BystanderReport);
