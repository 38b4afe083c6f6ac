// A process that runs the script of a raw server, closes nothing, and ends if nothing of its client keeps it alive.
// `exit-worker.js stock|ours PATH`
import { leaveClient } from './families/raw-server.js';
import type { Library } from './library.js';
import { surviveUncaughtErrors } from './planned-error.js';
import { Run } from './run.js';
import type { RawServerScript } from './script.js';

const [, , library, path = ''] = process.argv;

surviveUncaughtErrors(() => undefined);
process.once('message', async (script: RawServerScript) => {
  await leaveClient(new Run(library as Library, script.security, path, 0), script);
  process.send?.('left');
  process.disconnect();
});
