/**
 * Handing over the memory that bytes are in, to be read in place, against streaming the bytes through stock grpc-js, with a
 * 4 MiB window, the better one for it.
 */
import type { Peer } from '../lib/control.js';
import { availableBytes } from '../lib/proc.js';
import { Rig } from '../lib/rig.js';
import type { Suite } from '../lib/suite.js';
import type { ClientCommands } from '../peers/client.js';

const MIB = 2 ** 20;

const WARM_UPS = 300;
/** Handovers in a row. The time of a single one is mostly the time that the processes take to wake up. */
const TIMES = 20;

const SIZES = [
  { name: '1 MiB', bytes: MIB, rounds: 15 },
  { name: '16 MiB', bytes: 16 * MIB, rounds: 9 },
  { name: '256 MiB', bytes: 256 * MIB, rounds: 5 },
  { name: '1 GiB', bytes: 1024 * MIB, rounds: 3 },
];

export async function payload(suite: Suite): Promise<void> {
  const link = { window: 4 * MIB };
  await using ours = await Rig.start('ours', link);
  await using stock = await Rig.start('stock', link);
  // A few rounds of one call each would measure how fast its code is compiled.
  await ours.server.ask('preparePayload', MIB);
  await ours.client.ask('payloadByte', WARM_UPS);
  await stock.client.ask('firstOfStream', WARM_UPS, MIB);
  for (const { name, bytes, rounds } of SIZES) {
    if (availableBytes() < 2 * bytes) {
      suite.note(`${name} left out: not enough free memory`);
      continue;
    }
    await ours.server.ask('preparePayload', bytes);
    const stream = stock.side((client) => client.ask('payloadByStream', bytes));
    const compare = (what: string, run: (client: Peer<ClientCommands>) => Promise<number>) =>
      suite.compare({
        name: `${name}, ${what}`,
        ours: ours.side(run),
        theirs: stream,
        metric: { unit: 'ms', count: 1, as: 'each' },
        rounds,
        warmUps: 1,
      });
    await compare('every page', (client) => client.ask('payloadInPlace', 'everyPage'));
    await compare('every page, not populated', (client) =>
      client.ask('payloadInPlace', 'everyPageUnpopulated'),
    );
    await compare('every byte', (client) => client.ask('payloadInPlace', 'everyByte'));
    await ours.client.ask('mapPayload');
    await compare('every page, mapped before', (client) => client.ask('readMappedPayload'));
    // With a descriptor, any byte can be read at once. A stream has to arrive whole.
    await compare('any byte', async (client) => (await client.ask('payloadByte', TIMES)) / TIMES);
    await suite.compare({
      name: `${name}, first byte`,
      ours: ours.side((client) => client.ask('payloadByte', TIMES)),
      theirs: stock.side((client) => client.ask('firstOfStream', TIMES, bytes)),
      metric: { unit: 'ms', count: TIMES, as: 'each' },
      rounds: 11,
    });
  }
}
