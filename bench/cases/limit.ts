/** The public functions of the raw layer, without gRPC, against a C program that only makes the system calls. */
import { execFile } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Peer } from '../lib/control.js';
import { LineProcess } from '../lib/lines.js';
import type { Side } from '../lib/pairs.js';
import { temporaryDirectory } from '../lib/rig.js';
import type { Suite } from '../lib/suite.js';
import type { Handling, ReceiverCommands } from '../peers/raw-receiver.js';
import type { SenderCommands } from '../peers/raw-sender.js';

/** Bytes of a message, about as many as a small call has. */
const BYTES = 64;
/** Descriptors between two acknowledgements. */
const FDS_TO_WINDOW = 256;

const CASES: readonly { fds: number; messages: number; handling: Handling; name: string }[] = [
  { fds: 1, messages: 20_000, handling: 'batched', name: '1 fd to a message' },
  { fds: 16, messages: 4000, handling: 'batched', name: '16 fds to a message' },
  { fds: 64, messages: 1500, handling: 'batched', name: '64 fds to a message' },
  { fds: 64, messages: 1500, handling: 'node:fs', name: '64 fds to a message, by node:fs' },
];

export async function limit(suite: Suite): Promise<void> {
  const program = await compile();
  if (program === undefined) {
    suite.note('left out: the C program could not be compiled (cc)');
    return;
  }
  const directory = await temporaryDirectory();
  const path = join(directory, 'socket');
  const receiver = await Peer.start<ReceiverCommands>('peers/raw-receiver.js', [path]);
  const sender = await Peer.start<SenderCommands>('peers/raw-sender.js', [path]);
  const kernel = new LineProcess(program);
  const kernelProcesses = { client: kernel.pid, server: Number(await kernel.line()) };
  for (const { fds, messages, handling, name } of CASES) {
    const window = FDS_TO_WINDOW / fds;
    const ours: Side = {
      processes: { client: sender.pid, server: receiver.pid },
      run: async () => {
        await receiver.ask('expect', messages * BYTES, window * BYTES, handling);
        return sender.ask('send', messages, fds, BYTES, window);
      },
    };
    const theirs: Side = {
      processes: kernelProcesses,
      run: async () => Number(await kernel.ask(`${messages} ${fds} ${BYTES} ${window}`)),
    };
    const metric = { unit: 'fds/s', count: fds * messages, as: 'rate' } as const;
    await suite.compare({ name, ours, theirs, metric, rounds: 11 });
  }
  await sender.stop();
  await receiver.stop();
  await kernel.stop();
  await rm(directory, { recursive: true });
}

async function compile(): Promise<string | undefined> {
  const root = new URL('../../../', import.meta.url);
  const bin = fileURLToPath(new URL('build/bench/bin/', root));
  const program = join(bin, 'limit');
  const source = fileURLToPath(new URL('bench/c/limit.c', root));
  await mkdir(bin, { recursive: true });
  try {
    await promisify(execFile)('cc', ['-O2', '-std=gnu11', '-Wall', '-Wextra', '-o', program, source]);
    return program;
  } catch {
    return undefined;
  }
}
