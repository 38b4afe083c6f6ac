/** The page with the figures, which `--markdown` writes. */
import { arch, cpus, loadavg, release } from 'node:os';
import type { Options } from './options.js';
import { TABLE } from './run.js';
import { markdown, type Row } from './table.js';

export function pageOf(rows: readonly Row[], { seconds, seed }: Options): string {
  const [load = 0] = loadavg();
  return `# Hostile peers

The figures of \`npm run test:hostile -- --seconds ${seconds} --seed ${seed} --markdown docs/hostile-peers.md\`, with Node.js ${process.versions.node} and
Linux ${release().split('-')[0]} on ${arch()}, with ${cpus().length} processors that the attackers, the server, the bystander and others share: the load of
the machine was ${Math.round(load)}. [Security](security.md#storms) says what they are for.

Each storm lasts ${seconds} seconds. The server is a process with a table of ${TABLE.toLocaleString('en-US')} descriptors and the default options, with \`account: (peer) => peer.uid\`
where the name says so. The attackers are of another user there. A bystander is a process that makes one call after another, with a file each
way, on a connection that it had before. At the same time it makes calls on new connections, the newcomers. They wait for a connection for 20
seconds, or for one where the attackers take all that there are.

${markdown(rows)}

- **memory**: the most that the server had above what it had before, as the kernel counts it.
- **open files**: the most that the server had open, of ${TABLE.toLocaleString('en-US')}. A full table alone is not a fault: what an attacker brings is closed before anybody
  else is read.
- **event loop**: how late timers of the server ran.
- **failed**: calls of the bystander, and newcomers. A wrong file would be a fault of the run, and there was none.
- **as before after**: the time from the end of the attackers until the server had the same files open, connections, held descriptors, receives and
  closes as before, with little more memory in use.
`;
}
