import type { Run } from '../run.js';
import type { Script } from '../script.js';
import { runBothEnds } from './both-ends.js';
import { runRawClient } from './raw-client.js';
import { runRawServer } from './raw-server.js';

export async function runScript(run: Run, script: Script): Promise<void> {
  // Every run begins in the same phase of the event loop.
  await run.turns(2);
  switch (script.family) {
    case 'raw server':
      return runRawServer(run, script);
    case 'raw client':
      return runRawClient(run, script);
    case 'both ends':
      return runBothEnds(run, script);
  }
}
