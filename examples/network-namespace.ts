// Hands over the network namespace of a process, its own without an argument: `node network-namespace.js [PID]`. The receiver
// can enter the namespace with setns(2), or keep it alive after its processes have exited.
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import * as grpcfd from 'grpcfd';
import { HandoverClient, serve, temporaryDirectory } from './handover/handover.js';

const [pid = 'self'] = process.argv.slice(2);
const address = `unix:${join(temporaryDirectory(), 'handover.sock')}`;

const stop = await serve(address, async (ref, fds) => {
  await using namespace = await fds.recvFile(ref);
  const { ino } = grpcfd.urlToDevIno(namespace.url);
  const link = `/proc/${process.pid}/fd/${namespace.fd}`;
  return `received ${readlinkSync(link)}, inode ${ino}, which nsenter --net=${link} would enter`;
});

const client = new HandoverClient(address, grpcfd.channelCredentials());
using fds = grpcfd.callCredentials();
const { ref } = fds.sendFilename(`/proc/${pid}/ns/net`);
const thanks = await client.give({ file: ref }, fds.options());
console.log(thanks.text);

client.close();
await stop();
