// Hands over the network namespace of a process, its own without an argument: `node network-namespace.js [PID]`. The receiver
// can enter the namespace with setns(2), or keep it alive after its processes have exited.
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import * as grpcfd from 'grpcfd';
import {
  bind,
  type Gift,
  HandoverClient,
  handoverService,
  shutDown,
  type Thanks,
  temporaryDirectory,
} from './handover/handover.js';

const [pid = 'self'] = process.argv.slice(2);
const address = `unix:${join(temporaryDirectory(), 'handover.sock')}`;

const server = new grpcfd.Server();
server.addService(handoverService, {
  Give: grpcfd.handler<Gift, Thanks>(async (call, fds) => {
    await using namespace = await fds.recvFile(call.request.file);
    const { ino } = grpcfd.urlToDevIno(namespace.url);
    const link = `/proc/${process.pid}/fd/${namespace.fd}`;
    return { text: `received ${readlinkSync(link)}, inode ${ino}, which nsenter --net=${link} would enter` };
  }),
});
await bind(server, address, grpcfd.serverCredentials());

const client = new HandoverClient(address, grpcfd.channelCredentials());
using fds = grpcfd.callCredentials();
const { ref } = fds.sendFilename(`/proc/${pid}/ns/net`);
const thanks = await client.give({ file: ref }, fds.options());
console.log(thanks.text);

client.close();
await shutDown(server);
