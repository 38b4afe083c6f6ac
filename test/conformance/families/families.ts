import type { Run } from '../run.js';
import type { Script } from '../script.js';
import { runRawServer } from './raw-server.js';

export async function runScript(run: Run, script: Script): Promise<void> {
  switch (script.family) {
    case 'raw server':
      return runRawServer(run, script);
  }
}
