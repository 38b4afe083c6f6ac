// Hands over a large payload without copying it: the receiver reads the memory that the sender wrote, in place.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import * as grpcfd from 'grpcfd';
import { HandoverClient, serve, temporaryDirectory } from './handover/handover.js';

const address = `unix:${join(temporaryDirectory(), 'handover.sock')}`;
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

const stop = await serve(address, async (ref, fds) => {
  await using file = await fds.recvFile(ref);
  using memory = file.map();
  // Without this seal, the sender could still change the bytes between the check and their use.
  if (!memory.immutable) return 'the memory is not sealed';
  await memory.populate();
  return `read ${memory.bytes.length} bytes in place, sha256 ${sha256(memory.bytes)}`;
});

const client = new HandoverClient(address, grpcfd.channelCredentials());
using fds = grpcfd.callCredentials();
using memory = grpcfd.createSharedMemory(64 * 1024 * 1024, { name: 'payload' });
memory.bytes.set(new TextEncoder().encode('shared '));
memory.seal(); // from now on nobody can change it, not even this process

const thanks = await client.give({ file: fds.sendFile(memory).ref }, fds.options());
console.log(thanks.text);
console.log(`sent ${memory.size} bytes, sha256 ${sha256(memory.bytes)}`);

client.close();
await stop();
