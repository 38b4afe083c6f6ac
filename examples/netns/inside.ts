// Runs in a network namespace of its own. `node inside.js ADDRESS`
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import * as http from 'node:http';
import { createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import * as grpcfd from 'grpcfd';
import { HandoverClient } from '../handover/handover.js';

const PORT = 8080;
const [, , address = ''] = process.argv;
const { OUTSIDE: outside } = process.env;

const isApart = readlinkSync('/proc/self/ns/net') !== outside;
console.log(`inside: this is ${isApart ? 'another' : 'the same'} network namespace`);

// A new namespace has a loopback interface, and it is down.
const up = spawnSync('ip', ['link', 'set', 'lo', 'up'], { encoding: 'utf8' });
if (up.status !== 0) {
  console.log(`inside: the loopback interface stays down: ${up.error?.message ?? up.stderr.trim()}`);
  process.exit();
}

const listener = createServer();
await once(listener.listen(PORT, '127.0.0.1'), 'listening');

const client = new HandoverClient(address, grpcfd.channelCredentials());
using fds = grpcfd.callCredentials();
const { text: received } = await client.give({ file: fds.sendFile(listener).ref }, fds.options());
console.log(`inside: the process outside has received ${received}`);
// The socket goes on listening: only the process outside has it from now on.
listener.close();
client.close();

const request = http.get({ host: '127.0.0.1', port: PORT, agent: false });
const [response] = (await once(request, 'response')) as [http.IncomingMessage];
console.log(`inside, port ${PORT}: ${await text(response)}`);
