// The server of a storm: `server.js ADDRESS SECURITY TABLE OPTIONS`, where OPTIONS is JSON. Its parent tells it when to measure.
import { chmodSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { getHeapStatistics } from 'node:v8';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import {
  bind,
  type Message,
  type Security,
  stockServerCredentials,
  testService,
} from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';
import type { ServerOrder, ServerReport, State } from './messages.js';
import type { ServerLimits } from './storms.js';

const [, , address = '', security = '', table = '', json = ''] = process.argv;
const { accountByUid, maxStreams, ...limits } = JSON.parse(json) as ServerLimits;
native.testing.setDescriptorLimit(Number(table));

const RESOLUTION_MS = 1;
const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
const connections = new Set<grpcfd.FdConnection>();

/** Receives what the message names, and answers with a file. What an attacker asks for has another form. */
const handle = async (
  call: grpc.ServerUnaryCall<Message, Message>,
  fds: grpcfd.FdServerCall,
): Promise<Message> => {
  const { file, names, replies, stay } = call.request as {
    file?: string;
    names?: readonly string[];
    replies?: number;
    stay?: boolean;
  };
  if (names !== undefined) {
    const outcomes = await Promise.allSettled(names.map((name) => fds.recvFile(name)));
    await Promise.all(outcomes.map((each) => each.status === 'fulfilled' && each.value.close()));
    return { received: outcomes.filter(({ status }) => status === 'fulfilled').length };
  }
  if (replies !== undefined) {
    for (let count = 0; count < replies; count++) fds.sendFd(0);
    return { fill: 'x'.repeat(8_192) };
  }
  if (stay === true) await new Promise((resolve) => call.on('cancelled', resolve));
  if (file === undefined) return {};
  const content = contentOf(await fds.recvFd(file));
  const answer = fileWith(`reply to ${content}`);
  const { ref } = fds.sendFd(answer);
  native.close(answer);
  return { content, file: ref };
};

const server = new grpcfd.Server(
  maxStreams === undefined ? {} : { 'grpc.max_concurrent_streams': maxStreams },
);
server.addService(testService, { unary: grpcfd.handler(handle) });
await bind(
  server,
  address,
  grpcfd.serverCredentials(await stockServerCredentials(security as Security), {
    ...limits,
    ...(accountByUid === true && { account: (peer: grpcfd.Peer) => peer.uid }),
    onConnection: (connection) => {
      connections.add(connection);
      void connection.closed.then(() => connections.delete(connection));
    },
  }),
);
chmodSync(address.slice('unix:'.length), 0o777);

function state(): State {
  for (let round = 0; round < 3; round++) globalThis.gc?.();
  // process.memoryUsage() opens a file, and the table may be full.
  const { used_heap_size: heapUsed, external_memory: external } = getHeapStatistics();
  let pendingReceives = 0;
  for (const connection of connections) pendingReceives += connection.stats().pendingReceives;
  return {
    usedBytes: heapUsed + external,
    stats: grpcfd.stats(),
    pendingReceives,
    pendingCloses: native.pendingCloses(),
  };
}

function report(kind: ServerReport['kind'], more: Partial<ServerReport> = {}): void {
  process.send?.({ kind, problems: [], ...more });
}

process.on('message', async (order: ServerOrder) => {
  if (order.kind === 'begin') {
    // The state is taken when what the warm-up left has gone.
    await delay(50);
    const now = state();
    histogram.enable();
    // It starts to count with its first interval.
    await delay(20);
    histogram.reset();
    report('begun', { state: now });
  } else if (order.kind === 'end') {
    histogram.disable();
    const ms = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
    report('ended', { delay: { p99Ms: ms(histogram.percentile(99)), maxMs: ms(histogram.max) } });
  } else {
    report('looked', { state: state() });
  }
});
// A rejection or an exception that nobody handles is a crash, which the parent sees.
process.on('disconnect', () => process.exit());
report('serves');
