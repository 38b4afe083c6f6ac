/** Calls that carry descriptors, against calls of this package without descriptors and against the Go package. */
import { GoRig } from '../lib/go.js';
import type { Side } from '../lib/pairs.js';
import { Rig } from '../lib/rig.js';
import type { Suite } from '../lib/suite.js';
import { countSyscalls } from '../lib/syscalls.js';

const DIRECTIONS = [
  { command: 'take', to: 'server' },
  { command: 'give', to: 'client' },
] as const;

/** Enough calls for the two warm-up runs to have all code compiled before the first round. */
const COUNTS = [
  { fds: 1, name: '1 fd', calls: 1000 },
  { fds: 8, name: '8 fds', calls: 600 },
  { fds: 64, name: '64 fds', calls: 300 },
  { fds: 256, name: '256 fds', calls: 100 },
] as const;

export async function handoff(suite: Suite): Promise<void> {
  await using ours = await Rig.start('ours');
  for (const { command, to } of DIRECTIONS) {
    for (const { fds, name, calls } of COUNTS) {
      await suite.compare({
        name: `${name} to the ${to}, against no fd`,
        ours: ours.side((client) => client.ask(command, calls, fds)),
        // The same method, so that only the descriptors differ.
        theirs: ours.side((client) => client.ask('none', calls, command)),
        metric: { unit: 'calls/s', count: calls, as: 'rate' },
        rounds: 9,
      });
      const each = async (run: Parameters<Rig['allocated']>[0]) => (await ours.allocated(run)) / calls / 1024;
      suite.count(
        `${name} to the ${to}, allocated in JavaScript against no fd`,
        'KiB a call',
        await each((client) => client.ask(command, calls, fds)),
        await each((client) => client.ask('none', calls, command)),
      );
    }
  }
  await using go = await GoRig.start((reason) => suite.note(`the comparison with Go left out: ${reason}`));
  if (go === undefined) return;
  suite.note('256 fds: the Go package carries at most 64 to a call, so Go makes four calls of 64');
  for (const { command, to } of DIRECTIONS) {
    for (const { fds, name, calls } of COUNTS) {
      const sides = {
        ours: ours.side((client) => client.ask(command, calls, fds)),
        theirs: { processes: go.processes, run: () => go.run(command, calls, fds) },
      };
      const total = calls * fds;
      const pairs = await suite.compare({
        ...sides,
        name: `${name} to the ${to}, against Go`,
        metric: { unit: 'fds/s', count: total, as: 'rate' },
        rounds: 9,
      });
      const switches = [pairs.ours.contextSwitches / total, pairs.theirs.contextSwitches / total] as const;
      suite.count(`${name} to the ${to}, context switches, against Go`, 'each fd', ...switches);
      if (fds === 1) await manyAtATime(suite, command, to, ours, go);
      if (fds === 1 || fds === 64) await compareSyscalls(suite, `${name} to the ${to}`, total, sides);
    }
  }
}

async function manyAtATime(
  suite: Suite,
  command: 'take' | 'give',
  to: string,
  ours: Rig,
  go: GoRig,
): Promise<void> {
  const [calls, atATime] = [4000, 64];
  await suite.compare({
    name: `64 calls at a time, 1 fd each to the ${to}, against Go`,
    ours: ours.side((client) => client.ask(command, calls, 1, atATime)),
    theirs: { processes: go.processes, run: () => go.run(command, calls, 1, atATime) },
    metric: { unit: 'fds/s', count: calls, as: 'rate' },
    rounds: 9,
  });
}

async function compareSyscalls(
  suite: Suite,
  name: string,
  fds: number,
  { ours, theirs }: { ours: Side; theirs: Side },
): Promise<void> {
  suite.say(`${name}, syscalls`);
  for (const syscall of ['sendmsg', 'recvmsg']) {
    const perFd = async ({ processes, run }: Side) => {
      const pids = processes === undefined ? [] : [processes.client, processes.server];
      const count = await countSyscalls(pids, syscall, run);
      return count === undefined ? undefined : count / fds;
    };
    const ourCount = await perFd(ours);
    const theirCount = ourCount === undefined ? undefined : await perFd(theirs);
    if (ourCount === undefined || theirCount === undefined) {
      suite.note(`${name}: syscalls not counted, strace is missing or not allowed`);
      return;
    }
    suite.count(`${name}, ${syscall}, against Go`, 'each fd', ourCount, theirCount);
  }
}
