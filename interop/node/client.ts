/**
 * Runs rows of the interop matrix: one JSON row to a line of standard input, one JSON result to a line of standard output,
 * until the input ends. The Go client takes the same rows.
 */
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { Channels } from './channels.js';
import { reasonOf } from './handover.js';
import { MemfdMaker } from './memfd.js';
import type { Row, RowResult } from './row.js';
import { RowRunner } from './row-runner.js';

const { values } = parseArgs({ options: { certs: { type: 'string' }, bin: { type: 'string' } } });
const { certs = '.', bin = '.' } = values;
const memfds = new MemfdMaker(bin);
const channels = new Channels(certs);
const runner = new RowRunner(channels, memfds);

async function result(row: Row): Promise<RowResult> {
  const start = performance.now();
  const ms = () => Math.round(performance.now() - start);
  try {
    await runner.run(row);
    return { id: row.id, ok: true, ms: ms() };
  } catch (error) {
    return { id: row.id, ok: false, reason: reasonOf(error), ms: ms() };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await result(JSON.parse(line))));
}
channels.close();
memfds.close();
