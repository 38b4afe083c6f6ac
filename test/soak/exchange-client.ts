// A client of a soak that calls a Go server. `exchange-client.js TASK`. It runs rows of the interop matrix from the start on.
import { setTimeout as delay } from 'node:timers/promises';
import { Channels } from '../../interop/node/channels.js';
import { reasonOf } from '../../interop/node/handover.js';
import { MemfdMaker } from '../../interop/node/memfd.js';
import { RowRunner } from '../../interop/node/row-runner.js';
import { randomFrom } from '../support/random.js';
import { judgeRow, limitOf, planRow } from './go-rows.js';
import { SoakChild } from './soak-child.js';

const CALLERS = 3;

const child = new SoakChild(false);
const { task, book } = child;
const { directory, certs = '', bin = '' } = task;
const memfds = new MemfdMaker(bin);
const channels = new Channels(certs);
const runner = new RowRunner(channels, memfds);
let isCalm = false;

async function callOften(seed: number): Promise<void> {
  const random = randomFrom(seed);
  while (!isCalm) {
    const row = { ...planRow(random, directory), id: 0 };
    const outcome = runner.run(row).then(() => undefined, reasonOf);
    const late = new AbortController();
    const limit = delay(limitOf(row) + task.hangMs, 'hang', late).catch(() => undefined);
    judgeRow(row, await Promise.race([outcome, limit]), book);
    late.abort();
    await delay(random(20));
  }
}

let callers: Promise<void>[] = [];

child.obey({
  async calm() {
    isCalm = true;
    await Promise.all(callers);
  },
  async finish() {
    channels.close();
    memfds.close();
  },
});

callers = Array.from({ length: CALLERS }, (_, index) => callOften(task.seed + index));
