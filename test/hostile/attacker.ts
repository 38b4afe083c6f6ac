// An attacker: `attacker.js ADDRESS ATTACK SEED`. It goes on until it is killed, and tells its parent what it has done.
import { setImmediate as turn } from 'node:timers/promises';
import { randomFrom } from '../support/random.js';
import { ATTACKS, type AttackName } from './attacks/index.js';
import { type AttackerReport, NOTHING } from './messages.js';

const [, , address = '', name = '', seed = ''] = process.argv;
const REPORT_MS = 20;
const attack = { ...NOTHING };

function report(kind: AttackerReport['kind']): void {
  process.send?.({ kind, problems: [], attack } satisfies AttackerReport);
}

process.on('disconnect', () => process.exit());
report('begun');
let reportedAt = performance.now();
await ATTACKS[name as AttackName]({
  address,
  attack,
  random: randomFrom(Number(seed)),
  async pause() {
    // Messages of the parent come, and those to it leave, in turns of the event loop.
    await turn();
    if (performance.now() - reportedAt < REPORT_MS) return;
    reportedAt = performance.now();
    report('alive');
  },
});
