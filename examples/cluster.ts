// Four worker processes serve one address, and every connection carries descriptors. `node cluster.js [rr|none]`. See cluster/README.md.
import cluster from 'node:cluster';
import { once } from 'node:events';
import { join } from 'node:path';
import * as grpcfd from 'grpcfd';
import { HandoverClient, serve, temporaryDirectory } from './handover/handover.js';

const WORKERS = 4;
const CONNECTIONS = 20;
const CALLS_OF_A_CONNECTION = 5;

if (cluster.isPrimary) await startWorkersAndCall();
else await work();

/** The primary process. It listens for its workers, and this one makes the calls, too. */
async function startWorkersAndCall(): Promise<void> {
  const [, , policy = 'rr'] = process.argv;
  cluster.schedulingPolicy = policy === 'none' ? cluster.SCHED_NONE : cluster.SCHED_RR;
  const address = `unix:${join(temporaryDirectory(), 'cluster.sock')}`;
  const workers = Array.from({ length: WORKERS }, () => cluster.fork({ ADDRESS: address }));
  for (const worker of workers) worker.once('exit', (code) => code === 0 || process.exit(1));
  await Promise.all(workers.map((worker) => once(worker, 'message')));

  const calls = new Map(workers.map(({ id }) => [`worker ${id}`, 0]));
  for (let connection = 0; connection < CONNECTIONS; connection++) {
    for (const name of await call(address)) calls.set(name, (calls.get(name) ?? 0) + 1);
  }
  for (const [name, count] of calls) console.log(`${name} answered ${count} calls`);

  for (const worker of workers) worker.send('stop');
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
}

/** Makes calls on a new connection, each with a file. Returns who answered them. */
async function call(address: string): Promise<string[]> {
  const client = new HandoverClient(address, grpcfd.channelCredentials());
  const names: string[] = [];
  for (let index = 0; index < CALLS_OF_A_CONNECTION; index++) {
    using fds = grpcfd.callCredentials();
    using memory = grpcfd.createSharedMemory(1);
    memory.bytes[0] = index;
    const { text } = await client.give({ file: fds.sendFile(memory).ref }, fds.options());
    const [name = '', content] = text.split(': ');
    if (content !== `${index}`) throw new Error(`sent ${index}, and ${text}`);
    names.push(name);
  }
  client.close();
  return names;
}

/** A worker process. */
async function work(): Promise<void> {
  const { ADDRESS: address = '' } = process.env;
  const stop = await serve(address, async (ref, fds) => {
    await using file = await fds.recvFile(ref);
    const [byte] = await file.readFile();
    return `worker ${cluster.worker?.id}: ${byte}`;
  });
  process.send?.('serves');
  await once(process, 'message');
  await stop();
  process.disconnect();
}
