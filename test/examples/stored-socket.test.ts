/** The service of the example `socket-activation`, which stores its socket with a manager that does what systemd does. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as grpcfd from 'grpcfd';
import { closeAll } from '#src/native/binding.js';
import { HandoverClient } from '../../examples/handover/handover.js';
import { type Datagram, datagramReceiver } from '../support/datagram-receiver.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';
import { within } from '../support/until.js';

trackDescriptors();

const SERVICE = fileURLToPath(new URL('../../examples/socket-activation/service.js', import.meta.url));
const HANG_MS = 30_000;

/** With stored descriptors from 3 on. The shell becomes the process that LISTEN_PID names. */
function start(path: string, stored: readonly number[], env: NodeJS.ProcessEnv): ChildProcess {
  const script = 'LISTEN_PID=$$ exec "$@"';
  const child = spawn('sh', ['-c', script, 'sh', process.execPath, SERVICE, path], {
    stdio: ['ignore', 'inherit', 'inherit', ...stored],
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env },
  });
  defer(() => stop(child, 'SIGKILL'));
  return child;
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
}

/** Sends a text in a file, on a new connection. Returns what the service says. */
async function send(path: string, content: string): Promise<string> {
  const client = new HandoverClient(`unix:${path}`, grpcfd.channelCredentials());
  using fds = grpcfd.callCredentials();
  const bytes = Buffer.from(content);
  using memory = grpcfd.createSharedMemory(bytes.length);
  memory.bytes.set(bytes);
  const options = { ...fds.options(), deadline: Date.now() + HANG_MS };
  const { text } = await client.give({ file: fds.sendFile(memory).ref }, options);
  client.close();
  return text;
}

test('The service of the example stores its socket, and each start after the first serves that one', async () => {
  const directory = temporaryDirectory();
  const path = join(directory, 'files.sock');
  const manager = datagramReceiver(join(directory, 'notify'));
  const next = async (): Promise<Datagram> => {
    let datagram: Datagram | undefined;
    await within(HANG_MS, 'a message of the service', () => {
      try {
        datagram = manager.next();
      } catch {
        // None has come yet.
      }
      return datagram !== undefined;
    });
    return datagram ?? assert.fail();
  };
  const env = { NOTIFY_SOCKET: join(directory, 'notify') };

  let service = start(path, [], env);
  const { bytes, fds } = await next();
  defer(() => closeAll(fds));
  assert.deepEqual([String(bytes), fds.length], ['FDSTORE=1\nFDNAME=files', 1]);
  assert.equal(String((await next()).bytes), 'READY=1');
  assert.equal(await send(path, 'first'), `process ${service.pid}, a new socket: first`);

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    await stop(service, signal);
    if (signal === 'SIGTERM') assert.equal(service.exitCode, 0);
    const waiting = send(path, `after ${signal}`);
    service = start(path, fds, { ...env, LISTEN_FDS: '1', LISTEN_FDNAMES: 'files' });
    assert.equal(await waiting, `process ${service.pid}, socket files: after ${signal}`);
    assert.equal(String((await next()).bytes), 'READY=1');
  }
  assert.deepEqual(readdirSync(directory).sort(), ['files.sock', 'notify']);
});
