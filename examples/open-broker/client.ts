// The client of open-broker.ts. It has one end of a socketpair as descriptor 3, and no rights: `client.js DIRECTORY`.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type ServiceError, status } from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { HandoverClient } from '../handover/handover.js';
import { dropRights } from '../handover/unprivileged.js';

const [, , directory = ''] = process.argv;

// Everything has been loaded.
dropRights();

try {
  readFileSync(join(directory, 'public', 'notes.txt'));
} catch (error) {
  console.log(
    `client: I am user ${process.getuid?.()}, and opening a file fails with ${(error as NodeJS.ErrnoException).code}`,
  );
}

const broker = new HandoverClient('fd:3', grpcfd.channelCredentials());

for (const name of [
  'public/notes.txt',
  'public/../secret.txt',
  'public/link to secret.txt',
  'public/other name of secret.txt',
  'public/pipe',
  'letters',
  'greeter.sock',
]) {
  using fds = grpcfd.callCredentials();
  try {
    const { text: ref } = await broker.give({ file: `${directory}/${name}` }, fds.options());
    await using file = await fds.recvFile(ref);
    console.log(`client: ${await use(file)}`);
  } catch (error) {
    console.log(`client: ${status[(error as ServiceError).code]}`);
  }
}
broker.close();

/** What can be done with what was opened, though this process could not have opened it. */
async function use(file: grpcfd.ReceivedFile): Promise<string> {
  if (file.kind === 'socket') return `dialled it, and heard: ${await text(await file.connect())}`;
  if (file.kind !== 'directory') return `read: ${await file.readFile('utf8')}`;
  await using letter = await file.openIn('first.txt');
  const wayOut = await file.openIn('../secret.txt').catch(({ cause }) => cause.code);
  return `it has ${await file.readdir()}, which says: ${await letter.readFile('utf8')}; outside of it: ${wayOut}`;
}
