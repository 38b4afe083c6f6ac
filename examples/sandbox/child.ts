// The child of sandbox.ts. It has one end of a socketpair as descriptor 3, and no rights.
import { readFileSync } from 'node:fs';
import * as grpcfd from 'grpcfd';
import { HandoverClient } from '../handover/handover.js';
import { dropRights } from '../handover/unprivileged.js';

const [, , path = ''] = process.argv;

// Everything has been loaded.
dropRights();

try {
  readFileSync(path);
  console.log('this process had no rights to drop, and can open the file itself');
} catch (error) {
  console.log(`the child cannot open the file itself: ${(error as NodeJS.ErrnoException).code}`);
}

const client = new HandoverClient('fd:3', grpcfd.channelCredentials());
using fds = grpcfd.callCredentials();
const { text: ref } = await client.give({ file: 'secret' }, fds.options());
await using file = await fds.recvFile(ref);
console.log(`the child has read: ${await file.readFile('utf8')}`);
client.close();
