/** The programs of examples/, without those of the README and the demo. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Kind } from '../../interop/node/protocol.js';
import type { Direction } from '../../interop/node/row.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';
import { goClient, goServer, useWorkplace, withoutGo } from './peers.js';

trackDescriptors();
useWorkplace();

const KINDS: readonly Kind[] = ['REGULAR', 'UNLINKED', 'MEMFD', 'SOCKET', 'DIRECTORY', 'PROC_FD', 'NETNS'];

/** On a new connection, Go answers SETTINGS with this many bytes, and panics with more descriptors than bytes. */
const MOST_FDS = 9;
const LIMIT_MS = 60_000;

function start(name: string, ...args: string[]) {
  const program = fileURLToPath(new URL(`../../examples/${name}.js`, import.meta.url));
  return spawn(process.execPath, [program, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: LIMIT_MS,
  });
}

/** The lines that the program prints. */
async function run(name: string, ...args: string[]): Promise<string[]> {
  const child = start(name, ...args);
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  assert.equal(code, 0);
  return output.trimEnd().split('\n');
}

test('The dial-socket example dials a socket whose file has been removed', async () => {
  assert.deepEqual(await run('dial-socket'), ['received a socket, dialled it, and heard: hello']);
});

test('The network-namespace example hands over its own namespace', async () => {
  const own = readlinkSync('/proc/self/ns/net');
  const [line = ''] = await run('network-namespace');
  assert.ok(line.startsWith(`received ${own}, inode ${statSync('/proc/self/ns/net').ino}`), line);
});

test('The network-namespace example hands over the namespace of another process', async (t) => {
  const other = spawn('unshare', ['--net', 'sh', '-c', 'echo ready; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  defer(() => stop(other));
  const ready = await Promise.race([once(other.stdout, 'data'), once(other, 'close'), once(other, 'error')]);
  if (!String(ready[0]).startsWith('ready')) return t.skip('this user cannot make a network namespace');
  const theirs = readlinkSync(`/proc/${other.pid}/ns/net`);
  assert.notEqual(theirs, readlinkSync('/proc/self/ns/net'));
  const [line = ''] = await run('network-namespace', String(other.pid));
  assert.ok(line.startsWith(`received ${theirs},`), line);
});

test('The shared-memory example hands over memory that is read in place', async () => {
  const [received = '', sent = '', ...rest] = await run('shared-memory');
  assert.match(received, /^read 67108864 bytes in place, sha256 [0-9a-f]{64}$/);
  assert.equal(sent, received.replace('read', 'sent').replace(' in place', ''));
  assert.deepEqual(rest, []);
});

test('The refresh example sends its file again to a server that restarted', async () => {
  const lines = await run('refresh');
  const has = (name: string) => [`${name} has "the registration"`, `${name} has "the registration" again`];
  const [first, again] = has('the first server');
  const [second, secondAgain] = has('the second server');
  assert.deepEqual(lines.slice(0, -1), [first, again, again, second, secondAgain, secondAgain]);
  assert.match(lines.at(-1) ?? '', /^(-1|0|1) descriptors more/);
});

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close');
  child.kill('SIGTERM');
  await closed;
}

/** Starts a relay to `backend`. Returns its address and its output. */
async function startRelay(backend: string): Promise<{ target: string; lines: AsyncIterator<string> }> {
  const target = `unix:${join(temporaryDirectory(), 'relay.sock')}`;
  const relay = start('relay', target, backend);
  defer(() => stop(relay));
  const lines = createInterface({ input: relay.stdout })[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, `relays ${target} to ${backend}`);
  return { target, lines };
}

const DIRECTIONS: Record<Direction, (count: number) => string> = {
  c2s: (count) => `${count} files passed on, 0 passed back`,
  s2c: (count) => `0 files passed on, ${count} passed back`,
};

for (const direction of ['c2s', 's2c'] as const) {
  test(`The relay example passes files on between two Go processes, ${direction}`, {
    skip: withoutGo,
  }, async () => {
    const { target, lines } = await startRelay((await goServer()).target('plaintext'));
    const client = goClient();
    for (const kind of KINDS) {
      const fds = kind === 'NETNS' ? 1 : MOST_FDS;
      const row = { security: 'plaintext', rpc: 'unary', direction, kind, fds, receiveMs: 10_000 } as const;
      assert.equal((await client({ ...row, target })).reason, undefined);
      assert.equal((await lines.next()).value, DIRECTIONS[direction](fds));
    }
  });

  test(`Two relays in a row pass files on between two Go processes, ${direction}`, {
    skip: withoutGo,
  }, async () => {
    const second = await startRelay((await goServer()).target('plaintext'));
    const first = await startRelay(second.target);
    const row = { security: 'plaintext', rpc: 'unary', direction, kind: 'UNLINKED', fds: MOST_FDS } as const;
    const { reason } = await goClient()({ ...row, target: first.target, receiveMs: 10_000 });
    assert.equal(reason, undefined);
    for (const { lines } of [first, second]) {
      assert.equal((await lines.next()).value, DIRECTIONS[direction](MOST_FDS));
    }
  });
}
