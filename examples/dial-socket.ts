// A socket file is sent by name, and its receiver dials it. This also works where the path is not valid, as in another mount
// namespace, or when the file has been removed.
import { once } from 'node:events';
import { unlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import * as grpcfd from 'grpcfd';
import { HandoverClient, serve, temporaryDirectory } from './handover/handover.js';

const directory = temporaryDirectory();
const address = `unix:${join(directory, 'handover.sock')}`;

const stop = await serve(address, async (ref, fds) => {
  await using file = await fds.recvFile(ref);
  const socket = await file.connect();
  return `received a ${file.kind}, dialled it, and heard: ${await text(socket)}`;
});

const path = join(directory, 'greeter.sock');
const greeter = createServer((socket) => socket.end('hello'));
await once(greeter.listen(path), 'listening');

const client = new HandoverClient(address, grpcfd.channelCredentials());
using fds = grpcfd.callCredentials();
const { ref } = fds.sendFilename(path); // opened with O_PATH: nothing else opens a socket file
unlinkSync(path);
const thanks = await client.give({ file: ref }, fds.options());
console.log(thanks.text);

client.close();
greeter.close();
await stop();
