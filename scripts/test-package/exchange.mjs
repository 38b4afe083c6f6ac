// The call that most rows make: fixtures/exchange.cjs and exchange.mjs.
import assert from 'node:assert/strict';
import { run } from './environment.mjs';

export const DOORS = { require: 'exchange.cjs', import: 'exchange.mjs' };
export const EXCHANGED = 'server: from the client, client: from the server';

export function assertExchanged({ stdout, stderr }) {
  assert.equal(stdout.trim().split('\n').at(-1), EXCHANGED, stdout + stderr);
}

/** Runs `args` with a Node.js, and checks that the call was made. */
export async function exchange(node, args, options) {
  assertExchanged(await run(node, args, options));
}

/** A row for `require` and one for `import`. */
export function rowForEachDoor({ environment, work, ...rest }) {
  return Object.entries(DOORS).map(([door, file]) => ({
    ...rest,
    environment: `${environment}, ${door}`,
    work: () => work(file, door),
  }));
}
