/** How a socket file comes into being, at each step of it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { connect as plainConnect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connect, listen } from 'grpcfd/socket';
import { close, native } from '#src/native/binding.js';
import { UnixListener, type UnixListenOptions } from '#src/socket/unix-listener.js';
import { runFixture } from '../support/child.js';
import { failingSyscalls, whyNoFaults } from '../support/failing-syscalls.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';
import { settledWithin } from '../support/until.js';

// The first watcher opens a descriptor that the event loop keeps.
watch(tmpdir()).close();
trackDescriptors();

const FIXTURE = 'fixtures/listen-under-fault.js';
const isRoot = process.getuid?.() === 0;
const NOBODY = '65534';
const KILL = -1;
const SWAP = -2;
const [EPERM, EOPNOTSUPP] = [1, 95];

/** Listens in a process in which `fault` happens. */
async function listenUnder(fault: string, options: UnixListenOptions, euid?: string) {
  const args = [fault, JSON.stringify(options), ...(euid === undefined ? [] : [euid])];
  // Sanitizers have a library there, which has to be the first.
  const env = { LD_PRELOAD: failingSyscalls() };
  const { stdout, stderr, signal } = await runFixture(FIXTURE, import.meta.url, args, env, 30_000);
  assert.equal(stderr, '');
  return { outcome: stdout.trim(), signal };
}

/** Listens in this process, and closes at the end of the test. */
async function listenHere(options: UnixListenOptions): Promise<UnixListener> {
  const listener = await UnixListener.listen(options, { onConnection: close, onError: assert.fail });
  defer(() => listener.close());
  return listener;
}

function leaveDeadSocket(path: string): void {
  close(native.bindUnix(Buffer.from(path)));
}

/** Takes the lock of a directory, as another process may have it. */
function lock(directory: string): () => void {
  const fd = openSync(directory, 'r');
  assert.ok(native.testing.tryLock(fd));
  let held = true;
  const release = () => {
    if (held) closeSync(fd);
    held = false;
  };
  defer(release);
  return release;
}

test('A server listens where hard links are refused', { skip: whyNoFaults() }, async () => {
  const directory = temporaryDirectory();
  const { outcome } = await listenUnder(`link:${EPERM}`, { path: join(directory, 's'), mode: 0o666 });
  assert.equal(outcome, 'listening');
  assert.deepEqual(readdirSync(directory), ['s']);
});

for (const step of ['bind', 'fchmod', 'chmod', 'fchownat', 'listen', 'unlink']) {
  const skip = whyNoFaults() || (step === 'fchownat' && !isRoot && 'takes root');
  test(`The next start repairs what a process leaves that is killed before ${step}`, { skip }, async () => {
    const directory = temporaryDirectory();
    const path = join(directory, 's');
    const owner = isRoot ? { uid: 1234, gid: 5678 } : {};
    if (step === 'unlink') leaveDeadSocket(path);
    // The mode has bits of the umask, so it takes a chmod.
    const options = { path, mode: 0o666, ...owner };
    const { signal } = await listenUnder(`${step}:${KILL}`, options);
    assert.equal(signal, 'SIGKILL');
    assert.deepEqual(readdirSync(directory), step === 'bind' || step === 'fchmod' ? [] : ['s']);
    const { outcome } = await listenUnder('', options);
    assert.equal(outcome, 'listening');
    assert.deepEqual(readdirSync(directory), ['s']);
    const { mode, uid, gid } = statSync(path);
    assert.deepEqual([mode & 0o777, isRoot ? { uid, gid } : {}], [0o666, owner]);
  });
}

for (const step of ['chmod', 'fchownat', 'listen']) {
  const skip = whyNoFaults() || (step === 'fchownat' && !isRoot && 'takes root');
  test(`A failed ${step} leaves no file, and says what is missing`, { skip }, async () => {
    const directory = temporaryDirectory();
    const path = join(directory, 's');
    const options = { path, mode: 0o666, ...(isRoot ? { uid: 1234 } : {}) };
    const { outcome } = await listenUnder(`${step}:${EPERM}`, options);
    const syscall = step === 'fchownat' ? 'chown' : step;
    assert.ok(outcome.startsWith(`EPERM ${syscall} EPERM: operation not permitted, ${syscall} ${path}`));
    if (step !== 'listen') assert.match(outcome, step === 'chmod' ? /CAP_FOWNER/ : /CAP_CHOWN/);
    assert.deepEqual(readdirSync(directory), []);
  });
}

test('The file is never open to more users than the mode says', { skip: whyNoFaults() }, async () => {
  const path = join(temporaryDirectory(), 's');
  // The kernel made the file with this mode, so there was nothing for chmod to do.
  const { outcome } = await listenUnder(`chmod:${EPERM}`, { path, mode: 0o600 });
  assert.equal(outcome, 'listening');
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test('A link that takes the place of the file is not followed', { skip: whyNoFaults() }, async () => {
  const directory = temporaryDirectory();
  const path = join(directory, 's');
  const victim = join(directory, 'victim');
  writeFileSync(victim, '');
  const before = statSync(victim);
  const options = { path, mode: 0o666, ...(isRoot ? { uid: 1234 } : {}) };
  const { outcome } = await listenUnder(`bind:${SWAP}`, options);
  assert.match(outcome, /^EPERM /);
  const after = statSync(victim);
  assert.deepEqual([after.mode, after.uid], [before.mode, before.uid]);
  assert.equal(readlinkSync(path), 'victim');
});

test('A directory that cannot be locked works', { skip: whyNoFaults() }, async () => {
  const path = join(temporaryDirectory(), 's');
  leaveDeadSocket(path);
  const { outcome } = await listenUnder(`flock:${EOPNOTSUPP}`, { path });
  assert.equal(outcome, 'listening');
});

test('A directory that cannot be read works', { skip: !isRoot && 'takes root' }, async () => {
  const base = temporaryDirectory();
  chmodSync(base, 0o755);
  const directory = join(base, 'd');
  mkdirSync(directory);
  leaveDeadSocket(join(directory, 's'));
  chmodSync(join(directory, 's'), 0o777);
  chmodSync(directory, 0o333);
  const { outcome } = await listenUnder('', { path: join(directory, 's') }, NOBODY);
  assert.equal(outcome, 'listening');
});

test('A listener waits for the lock of the directory, and blocks nobody meanwhile', async () => {
  const directory = temporaryDirectory();
  const path = join(directory, 's');
  leaveDeadSocket(path);
  const release = lock(directory);
  const listening = listenHere({ path });
  await new Promise(setImmediate);
  assert.throws(() => native.connectUnix(Buffer.from(path)), { code: 'ECONNREFUSED' });
  release();
  await listening;
  close(native.connectUnix(Buffer.from(path)));
});

test('A lock that is never released does not keep a listener from its path', async () => {
  const directory = temporaryDirectory();
  const path = join(directory, 's');
  leaveDeadSocket(path);
  lock(directory);
  await settledWithin(20_000, 'listening', listenHere({ path }));
  close(native.connectUnix(Buffer.from(path)));
});

/** Runs the fixture as root without one right. */
function listenWithout(capability: string, options: UnixListenOptions): string {
  const { stdout, stderr } = spawnSync(
    'setpriv',
    [
      `--bounding-set=-${capability}`,
      `--inh-caps=-${capability}`,
      process.execPath,
      fileURLToPath(new URL(FIXTURE, import.meta.url)),
      '',
      JSON.stringify(options),
    ],
    { encoding: 'utf8' },
  );
  assert.equal(stderr, '');
  return stdout.trim();
}

const noSetpriv =
  (!isRoot && 'takes root') || (spawnSync('setpriv', ['--version']).error !== undefined && 'takes setpriv');

test('uid, gid and mode work without the right CAP_FOWNER', { skip: noSetpriv }, () => {
  const path = join(temporaryDirectory(), 's');
  assert.equal(listenWithout('fowner', { path, uid: 1234, gid: 5678, mode: 0o660 }), 'listening');
  const { uid, gid, mode } = statSync(path);
  assert.deepEqual([uid, gid, mode & 0o777], [1234, 5678, 0o660]);
});

test('uid without the right CAP_CHOWN fails with the name of the right', { skip: noSetpriv }, () => {
  const directory = temporaryDirectory();
  const outcome = listenWithout('chown', { path: join(directory, 's'), uid: 1234 });
  assert.match(outcome, /^EPERM chown EPERM: .*\/s: .*CAP_CHOWN/);
  assert.deepEqual(readdirSync(directory), []);
});

test('A watcher of the directory sees one file, once, and can connect to it', async () => {
  const directory = temporaryDirectory();
  const path = join(directory, 's');
  const seen: string[] = [];
  const watcher = watch(directory, (event, name) => {
    if (event === 'rename') seen.push(String(name));
  });
  defer(() => watcher.close());
  await listenHere({ path, mode: 0o666 });
  writeFileSync(join(directory, 'last'), '');
  while (!seen.includes('last')) await once(watcher, 'change');
  assert.deepEqual(seen, ['s', 'last']);
  close(native.connectUnix(Buffer.from(path)));
});

test('The kernel tells the path as the name of the socket, to both ends and to others', async () => {
  const path = join(temporaryDirectory(), 's');
  const accepted: number[] = [];
  const listener = await UnixListener.listen(
    { path },
    { onConnection: (fd) => accepted.push(fd), onError: assert.fail },
  );
  defer(() => {
    listener.close();
    native.closeAll(accepted);
  });
  assert.equal(native.socketName(listener.fd, false).toString(), path);
  const client = native.connectUnix(Buffer.from(path));
  defer(() => close(client));
  assert.equal(native.socketName(client, true).toString(), path);
  const names = readFileSync('/proc/net/unix', 'latin1').split('\n');
  assert.ok(names.some((line) => line.endsWith(` ${path}`)));
  const { stdout, error } = spawnSync('ss', ['-xlH', 'src', path], { encoding: 'utf8' });
  if (error === undefined) assert.ok(stdout.includes(path), stdout);
});

test('A path that fills the address works, also when its last part is one letter', async () => {
  const base = temporaryDirectory();
  for (const length of [102, 107, 108]) {
    const directory = join(base, 'd'.repeat(length - base.length - 3));
    mkdirSync(directory);
    // Every other name of that length that a hexadecimal digit can make is taken.
    for (const name of '0123456789abcdef') if (name !== 'a') writeFileSync(join(directory, name), '');
    for (const name of ['a', 'x']) {
      const path = join(directory, name);
      assert.equal(path.length, length);
      await using listener = await listen({ path });
      assert.ok(lstatSync(path).isSocket());
      (await connect(listener.address)).destroy();
      if (length < 108) {
        const client = plainConnect(path);
        await once(client, 'connect');
        client.destroy();
      }
    }
    writeFileSync(join(directory, 'a'), '');
    await (await listen({ path: join(directory, 'x') })).close();
  }
});

test('A socket that is bound and does not listen yet keeps its file, whether or not the listener has the lock', async () => {
  const path = join(temporaryDirectory(), 'server.sock');
  const bound = native.bindUnix(Buffer.from(path));
  await assert.rejects(listen({ path }), { code: 'EADDRINUSE' });
  native.removeDeadSocketFile(Buffer.from(path), temporaryDirectory());
  assert.ok(lstatSync(path).isSocket());
  close(bound);
  const listener = await listen({ path });
  await listener.close();
});
