// Gets the master of a terminal, types into it, and shows what the shell behind it answers: `node client.js ADDRESS`
import { once } from 'node:events';
import * as grpcfd from 'grpcfd';
import { HandoverClient } from '../handover/handover.js';

const [, , address = ''] = process.argv;
const LINES = ['tty', 'echo "6 * 7 = $((6 * 7))"', 'exit 3'];

const client = new HandoverClient(address, grpcfd.channelCredentials());
using fds = grpcfd.callCredentials();
const { text: ref } = await client.give({ file: 'the console' }, fds.options());
await using console = await fds.recvFile(ref, { expect: { kind: 'tty', access: 'readwrite' } });
client.close();

// Nobody else has the master, so it may be made non-blocking. It could not be waited for otherwise.
const keyboard = console.createWriteStream({ exclusive: true });
const screen = console.createReadStream({ exclusive: true });

// The screen ends when the last process that has the terminal has ended.
let shown = '';
for await (const chunk of screen.setEncoding('utf8')) {
  shown += chunk;
  process.stdout.write(chunk);
  const [line] = LINES;
  if (!shown.endsWith('$ ') || line === undefined) continue;
  // The shell waits for a line.
  shown = '';
  LINES.shift();
  if (!keyboard.write(`${line}\n`)) await once(keyboard, 'drain');
}
process.stdout.write('the terminal has ended\n');
