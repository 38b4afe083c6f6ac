// A server of a soak for Go clients. `exchange-server.js TASK`. It serves the service of the interop peers in plaintext and TLS.
import { join } from 'node:path';
import * as grpcfd from 'grpcfd';
import { exchange } from '../../interop/node/exchange.js';
import { MemfdMaker } from '../../interop/node/memfd.js';
import { exchangeService, healthService } from '../../interop/node/protocol.js';
import { SampleSet } from '../../interop/node/samples.js';
import { serverCredentials } from '../../interop/node/security.js';
import { bind, shutDown } from '../support/service.js';
import { EXCHANGE_SECURITIES, SHELF_SIZE } from './go-rows.js';
import { SoakChild } from './soak-child.js';

const child = new SoakChild(false);
const { directory, certs = '', bin = '' } = child.task;
const memfds = new MemfdMaker(bin);
const shelf: Promise<SampleSet>[] = [];

/** A Go client examines what it received after its call has ended. */
async function newSet(): Promise<SampleSet> {
  const made = SampleSet.create(memfds);
  shelf.push(made);
  if (shelf.length > SHELF_SIZE) await (await shelf.shift())?.close();
  return made;
}

const servers = EXCHANGE_SECURITIES.map((security) => {
  const server = new grpcfd.Server();
  server.addService(exchangeService, exchange(security, newSet));
  server.addService(healthService, { Check: grpcfd.handler(() => ({ status: 'SERVING' })) });
  return { security, server };
});

child.obey({
  async serve() {
    for (const { security, server } of servers) {
      const address = `unix:${join(directory, `${security}.sock`)}`;
      await bind(server, address, serverCredentials(security, certs));
    }
  },
  async finish() {
    await Promise.all(servers.map(({ server }) => shutDown(server)));
    for (const set of shelf) await (await set).close();
    memfds.close();
  },
});
