// A registration that is refreshed again and again. Each refresh sends its file anew, so that a server which was restarted in
// between has it too, and the number of held descriptors does not grow at either end.
import { readdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import * as grpcfd from 'grpcfd';
import { HandoverClient, serve, temporaryDirectory } from './handover/handover.js';

const address = `unix:${join(temporaryDirectory(), 'handover.sock')}`;

/** Keeps the file of the latest refresh. */
async function startServer(name: string): Promise<() => Promise<void>> {
  let registered: grpcfd.ReceivedFile | undefined;
  const stop = await serve(address, async (ref, fds) => {
    const previous = registered;
    registered = await fds.recvFile(ref);
    await previous?.close();
    return `${name} has "${await registered.readFile('utf8')}"${previous ? ' again' : ''}`;
  });
  return async () => {
    await Promise.all([stop(), registered?.close()]);
  };
}

const client = new HandoverClient(address, grpcfd.channelCredentials());
const file = await open(join(temporaryDirectory(), 'registration'), 'w+');
await file.writeFile('the registration');

async function refresh(times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    using fds = grpcfd.callCredentials(); // new ones for each call
    const { text } = await client.give({ file: fds.sendFile(file).ref }, fds.options());
    console.log(text);
  }
}

/** One more or less is fine: a server closes the descriptors of a call a moment after its reply. */
const openDescriptors = () => readdirSync('/proc/self/fd').length;

const stopFirst = await startServer('the first server');
await refresh(1);
const before = openDescriptors();
await refresh(2);
await stopFirst();
const stopSecond = await startServer('the second server');
await refresh(3);
console.log(`${openDescriptors() - before} descriptors more than after the first refresh`);

client.close();
await file.close();
await stopSecond();
