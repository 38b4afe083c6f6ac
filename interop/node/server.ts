/**
 * Answers the calls of interop.proto on one socket for each security, `<dir>/<security>.sock`. Prints one JSON line when it
 * listens, and exits when its standard input ends. The Go server takes the same options.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import * as grpcfd from 'grpcfd';
import { exchange } from './exchange.js';
import { MemfdMaker } from './memfd.js';
import { exchangeService, type HealthReply, healthService } from './protocol.js';
import { SampleSet } from './samples.js';
import { SECURITIES, serverCredentials } from './security.js';

/** How many sets of samples are kept: as many as clients make calls at a time. */
const SHELF_SIZE = 8;

const { values } = parseArgs({
  options: { dir: { type: 'string' }, certs: { type: 'string' }, bin: { type: 'string' } },
});
const { dir = '.', certs = '.', bin = '.' } = values;

const memfds = new MemfdMaker(bin);
const shelf: Promise<SampleSet>[] = [];

async function newSet(): Promise<SampleSet> {
  const made = SampleSet.create(memfds);
  shelf.push(made);
  if (shelf.length > SHELF_SIZE) await (await shelf.shift())?.close();
  return made;
}

const servers: grpcfd.Server[] = [];
for (const security of SECURITIES) {
  const server = new grpcfd.Server();
  server.addService(exchangeService, exchange(security, newSet));
  server.addService(healthService, {
    Check: grpcfd.handler<object, HealthReply>(() => ({ status: 'SERVING' })),
  });
  const bind = promisify(server.bindAsync.bind(server));
  await bind(`unix:${join(dir, `${security}.sock`)}`, serverCredentials(security, certs));
  servers.push(server);
}
console.log(JSON.stringify({ ready: true }));

process.stdin.resume();
await once(process.stdin, 'end');
for (const server of servers) server.forceShutdown();
await Promise.all(shelf.map(async (set) => (await set).close()));
memfds.close();
