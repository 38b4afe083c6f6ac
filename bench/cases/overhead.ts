/** Calls without descriptors: this package against stock grpc-js, on the same kind of socket. */
import { rm } from 'node:fs/promises';
import type { Peer } from '../lib/control.js';
import { Rig, temporaryDirectory, writeCertificate } from '../lib/rig.js';
import type { Metric, Suite } from '../lib/suite.js';
import type { ClientCommands } from '../peers/client.js';
import type { Link } from '../peers/service.js';

interface Workload {
  readonly name: string;
  readonly metric: Metric;
  run(client: Peer<ClientCommands>): Promise<number>;
}

const WORKLOADS: readonly [Workload, ...Workload[]] = [
  {
    name: 'unary, 1 at a time',
    metric: { unit: 'µs', count: 400, as: 'each' },
    run: (client) => client.ask('unary', 400, 1, 32),
  },
  {
    name: 'unary, 64 at a time',
    metric: { unit: 'calls/s', count: 2000, as: 'rate' },
    run: (client) => client.ask('unary', 2000, 64, 32),
  },
  {
    name: '1 MiB echo',
    metric: { unit: 'ms', count: 12, as: 'each' },
    run: (client) => client.ask('unary', 12, 1, 2 ** 20),
  },
  {
    name: '64 KiB messages down',
    metric: { unit: 'MiB/s', count: 400 / 16, as: 'rate' },
    run: (client) => client.ask('down', 400),
  },
  {
    name: '64 KiB messages up',
    metric: { unit: 'MiB/s', count: 400 / 16, as: 'rate' },
    run: (client) => client.ask('up', 400),
  },
];

const WINDOWS = [
  { name: '64 KiB', options: {} },
  { name: '4 MiB', options: { window: 4 * 2 ** 20 } },
];

export async function overhead(suite: Suite): Promise<void> {
  const directory = await temporaryDirectory();
  try {
    const tls = await writeCertificate(directory);
    for (const { name: security, link } of [
      { name: 'plain', link: {} },
      { name: 'TLS', link: { tls } },
    ]) {
      for (const { name, options } of WINDOWS)
        await compare(suite, `${security}, ${name} window`, { ...link, ...options });
    }
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function compare(suite: Suite, where: string, link: Omit<Link, 'flavour' | 'path'>): Promise<void> {
  await using ours = await Rig.start('ours', link);
  await using stock = await Rig.start('stock', link);
  for (const { name, metric, run } of WORKLOADS) {
    await suite.compare({
      name: `${name}, ${where}`,
      ours: ours.side(run),
      theirs: stock.side(run),
      metric,
      rounds: 11,
    });
  }
  const { run, metric } = WORKLOADS[0];
  const each = async (rig: Rig) => (await rig.allocated(run)) / metric.count / 1024;
  suite.count(
    `unary, 1 at a time, ${where}, allocated in JavaScript`,
    'KiB each',
    await each(ours),
    await each(stock),
  );
}
