// Runs a shell in a terminal of its own, and hands the terminal to another process, which shows it. See terminal/README.md.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';
import { serve, start, temporaryDirectory } from './handover/handover.js';
import { openTerminal } from './terminal/open-terminal.js';

const terminal = openTerminal();
if (typeof terminal === 'string') {
  console.log(`no terminal can be made here: ${terminal}`);
  process.exit();
}
const { master, slavePath } = terminal;

const address = `unix:${join(temporaryDirectory(), 'console.sock')}`;
const codes: Promise<unknown[]>[] = [];
const stop = await serve(address, (what, fds) => {
  // The shell leads a session of its own, whose terminal this is.
  const slave = openSync(slavePath, constants.O_RDWR | constants.O_NOCTTY);
  const shell = spawn('setsid', ['-c', 'sh', '-i'], {
    stdio: [slave, slave, slave],
    env: { PATH: process.env['PATH'], PS1: '$ ', TERM: 'dumb' },
  });
  closeSync(slave);
  codes.push(once(shell, 'exit'));
  console.log(`hands over ${what}`);
  const { ref } = fds.sendFd(master);
  // From now on, the client alone has it. When the client closes it or dies, the shell gets SIGHUP.
  closeSync(master);
  return ref;
});

await once(start('terminal/client', [address]), 'exit');
for (const [code] of await Promise.all(codes)) console.log(`the shell has ended with the code ${code}`);
await stop();
