// A client of a soak that calls a Go server. `exchange-client.js TASK`. It runs rows of the interop matrix from the start on.
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Channels } from '../../interop/node/channels.js';
import { reasonOf } from '../../interop/node/handover.js';
import { MemfdMaker } from '../../interop/node/memfd.js';
import { RowRunner } from '../../interop/node/row-runner.js';
import { randomFrom } from '../support/random.js';
import { EXCHANGE_SECURITIES, judgeRow, limitOf, planRow } from './go-rows.js';
import { SoakChild } from './soak-child.js';

const CALLERS = 3;
/** A call that waits for the connection. */
const LAST = {
  id: 0,
  rpc: 'unary',
  direction: 'c2s',
  kind: 'UNLINKED',
  fds: 1,
  keep: true,
  receiveMs: 60_000,
} as const;

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
    const row = { ...planRow(random, directory, false), id: 0 };
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
    // They connect again, if the server has been killed. With stock grpc-js, too, a channel that is closed while it connects may leave its
    // connection open. So none is closed after each row.
    for (const security of EXCHANGE_SECURITIES) {
      const target = `unix:${join(directory, `${security}.sock`)}`;
      await runner.run({ ...LAST, target, security });
    }
    channels.close();
    memfds.close();
  },
});

callers = Array.from({ length: CALLERS }, (_, index) => callOften(task.seed + index));
