// Hands over the read end of a pipe. Its receiver follows what a program logs, until that program dies. See log-tap/README.md.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as grpcfd from 'grpcfd';
import { HandoverClient, programPath, temporaryDirectory } from './handover/handover.js';

const address = `unix:${join(temporaryDirectory(), 'tap.sock')}`;

// The shell makes the pipe, and the tap stands behind it. What the shell itself says of the end of the writer is not shown.
const commands = [process.execPath, programPath('log-tap/writer'), programPath('log-tap/tap'), address];
const pipeline = spawn('sh', ['-c', '"$0" "$1" 2>&3 | "$0" "$2" "$3" 2>&3', ...commands], {
  stdio: ['ignore', 'inherit', 'ignore', process.stderr.fd],
});

const client = new HandoverClient(address, grpcfd.channelCredentials());
using fds = grpcfd.callCredentials();
const { text: ref } = await client.give({ file: 'the log' }, fds.options());
await using log = await fds.recvFile(ref, { expect: { kind: 'pipe', access: 'read' } });
client.close();
console.log('received the read end of a pipe');

let writer = 0;
for await (const line of createInterface({ input: log.createReadStream() })) {
  writer ||= Number(/process (\d+)/.exec(line)?.[1]);
  console.log(`the log: ${line.replace(/\d{2,}/, '…')}`);
  if (!line.startsWith('line 3')) continue;
  // It would log more, if it lived.
  process.kill(writer, 'SIGKILL');
  console.log('killed the writer');
}
console.log('the log has ended');
await once(pipeline, 'exit');
