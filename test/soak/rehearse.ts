/** Opens what a process keeps open once it has made calls, so that it is no leak afterwards. */
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { randomFrom } from '../support/random.js';
import { bind, shutDown, stockChannelCredentials, stockServerCredentials } from '../support/service.js';
import { Caller } from './caller.js';
import { Handlers } from './handlers.js';
import { ITEM_KINDS } from './items.js';
import { LONG_DEADLINE_MS, planCall } from './plan.js';
import { soakService } from './service.js';
import type { SoakChild } from './soak-child.js';
import { Transfer } from './transfer.js';

/** A call with a descriptor of each kind each way, to a server in this process. */
export async function rehearse(child: SoakChild): Promise<void> {
  const { book } = child;
  const task = { ...child.task, plants: [] };
  const address = `unix:${join(task.directory, `rehearsal-${process.pid}.sock`)}`;
  const transfer = new Transfer(task, book);
  const server = new grpcfd.Server();
  server.addService(soakService, new Handlers(book, transfer).implementation);
  await bind(server, address, grpcfd.serverCredentials(await stockServerCredentials(task.security)));
  const credentials = grpcfd.channelCredentials(await stockChannelCredentials(task.security));
  const client = new grpc.Client(address, credentials, { 'grpc.use_local_subchannel_pool': 1 });
  const message = { items: ITEM_KINDS.map((kind) => ({ kind, take: true })), bytes: 1 };
  const plan = planCall(randomFrom(task.seed));
  await new Caller(task, book, transfer).run(client, {
    ...plan,
    rpc: 'unary',
    requests: [message],
    replies: [message],
    deadlineMs: LONG_DEADLINE_MS,
    cancelMs: undefined,
  });
  client.close();
  await shutDown(server);
  // The events of the connection come in a later turn.
  while (grpcfd.stats().connections > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, 50));
}
