/** `npm run test:conformance -- --storm`: both transports, half of the time each. */
import { TRANSPORTS, type Transport } from '../library.js';
import type { Storm } from '../parent/options.js';
import { runStorm } from './storm.js';

/** @returns whether all went well */
export async function printStorm(
  storm: Storm,
  minutes: number,
  allowed: (security: Transport) => boolean,
): Promise<boolean> {
  const transports = TRANSPORTS.filter(allowed);
  let well = true;
  for (const security of transports) {
    const { figures, problems } = await runStorm(storm, security, (minutes * 60_000) / transports.length);
    console.log(`\n${storm} storm, ${security}`);
    for (const [name, value] of Object.entries(figures).sort()) console.log(`  ${name}: ${value}`);
    for (const problem of problems) console.log(`  PROBLEM: ${problem}`);
    if (problems.length === 0) console.log('  no freeze, no hang, no leak');
    else well = false;
  }
  return well;
}
