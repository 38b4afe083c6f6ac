// Hands over a large payload without copying it: the receiver reads the memory that the sender wrote, in place.
import { createHash } from 'node:crypto';
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

const address = `unix:${join(temporaryDirectory(), 'handover.sock')}`;
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

const server = new grpcfd.Server();
server.addService(handoverService, {
  Give: grpcfd.handler<Gift, Thanks>(async (call, fds) => {
    await using file = await fds.recvFile(call.request.file);
    using memory = file.map();
    // Without this seal, the sender could still change the bytes between the check and their use.
    if (!memory.immutable) return { text: 'the memory is not sealed' };
    await memory.populate();
    return { text: `read ${memory.bytes.length} bytes in place, sha256 ${sha256(memory.bytes)}` };
  }),
});
await bind(server, address, grpcfd.serverCredentials());

const client = new HandoverClient(address, grpcfd.channelCredentials());
using fds = grpcfd.callCredentials();
using memory = grpcfd.createSharedMemory(64 * 1024 * 1024, { name: 'payload' });
memory.bytes.set(new TextEncoder().encode('shared '));
memory.seal(); // from now on nobody can change it, not even this process

const thanks = await client.give({ file: fds.sendFile(memory).ref }, fds.options());
console.log(thanks.text);
console.log(`sent ${memory.size} bytes, sha256 ${sha256(memory.bytes)}`);

client.close();
await shutDown(server);
