/** `listenFds()`, in processes that are started as systemd starts them. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { listenFds } from 'grpcfd';
import { connect, listenFds as sameFunction } from 'grpcfd/socket';
import { close, closeAll, native } from '#src/native/binding.js';
import { datagramReceiver } from '../support/datagram-receiver.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';
import { within } from '../support/until.js';

trackDescriptors();

const FIXTURE = fileURLToPath(new URL('fixtures/activated.js', import.meta.url));

interface Service {
  readonly child: ChildProcess;
  /** Its next line of output. */
  line(): Promise<string>;
}

function service(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  fds: readonly number[] = [],
) {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'inherit', ...fds],
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env },
  });
  defer(() => stop(child, 'SIGKILL'));
  assert.ok(child.stdout);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return { child, line: async () => String((await lines.next()).value) } satisfies Service;
}

/** Starts the fixture with `fds` from 3 on. The shell becomes the process that LISTEN_PID names. */
function activate(fds: readonly number[], env: NodeJS.ProcessEnv, args: readonly string[] = []): Service {
  const script = 'LISTEN_PID=$$ exec "$@"';
  return service('sh', ['-c', script, 'sh', process.execPath, FIXTURE, ...args], env, fds);
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, 'exit');
}

async function answerOf(path: string): Promise<string> {
  const socket = await connect(path);
  defer(() => socket.destroy());
  return text(socket);
}

/** For a service that may not listen yet. */
async function answerWhenListening(path: string): Promise<string> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      return await answerOf(path);
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await delay(5);
    }
  }
}

test('listenFds() gives the descriptors with their names, close-on-exec, and clears the environment', async () => {
  const directory = temporaryDirectory();
  const paths = ['web', 'admin'].map((name) => join(directory, name));
  const fds = paths.map((path) => native.bindUnix(Buffer.from(path)));
  const { child, line } = activate(fds, {
    LISTEN_FDS: '2',
    LISTEN_FDNAMES: 'web:admin',
    LISTEN_PIDFDID: '7',
  });
  closeAll(fds);
  const inherited = [
    { fd: 3, name: 'web' },
    { fd: 4, name: 'admin' },
  ];
  assert.deepEqual(JSON.parse(await line()), { inherited, closeOnExec: true, left: [], again: [] });
  for (const [index, name] of ['web', 'admin'].entries()) {
    assert.equal(await answerWhenListening(paths[index] ?? ''), `${name} of ${child.pid}`);
  }
});

test('listenFds() gives nothing that is meant for another process, and clears the environment', async () => {
  const nothing = { inherited: [], closeOnExec: true, left: [], again: [] };
  const other = service(process.execPath, [FIXTURE], { LISTEN_PID: '1', LISTEN_FDS: '1' });
  assert.deepEqual(JSON.parse(await other.line()), nothing);
  const none = service(process.execPath, [FIXTURE], {});
  assert.deepEqual(JSON.parse(await none.line()), nothing);
  assert.equal(listenFds, sameFunction);
});

test('listenFds() without names calls each descriptor unknown', async () => {
  const fd = native.bindUnix(Buffer.from(join(temporaryDirectory(), 's')));
  const { line } = activate([fd], { LISTEN_FDS: '1' });
  close(fd);
  assert.deepEqual(JSON.parse(await line()).inherited, [{ fd: 3, name: 'unknown' }]);
});

test('listenFds() refuses an environment that cannot be right', async () => {
  for (const [env, message] of [
    [{ LISTEN_FDS: 'x' }, 'ERR_INVALID_STATE LISTEN_FDS=x is not a number'],
    [{ LISTEN_FDS: '2147483647' }, 'ERR_INVALID_STATE LISTEN_FDS=2147483647 is not a number'],
    [
      { LISTEN_FDS: '1', LISTEN_FDNAMES: 'a:b' },
      'ERR_INVALID_STATE LISTEN_FDNAMES has 2 names for 1 descriptors',
    ],
    [{ LISTEN_FDS: '900' }, 'EBADF EBADF: bad file descriptor, fcntl'],
  ] as const) {
    assert.equal(await activate([], env).line(), message);
  }
});

test('A service stores its socket with systemd, and the next one serves it: no connection is refused', async () => {
  const directory = temporaryDirectory();
  const path = join(directory, 's');
  const notify = join(directory, 'notify');
  const systemd = datagramReceiver(notify);
  const next = async () => {
    let datagram: ReturnType<typeof systemd.next> | undefined;
    await within(20_000, 'a datagram', () => {
      try {
        datagram = systemd.next();
        return true;
      } catch {
        return false;
      }
    });
    return { state: String(datagram?.bytes), fds: datagram?.fds ?? [] };
  };
  const env = { NOTIFY_SOCKET: notify };
  const first = activate([], env, [path]);
  const { state, fds } = await next();
  defer(() => closeAll(fds));
  assert.deepEqual([state, fds.length], ['FDSTORE=1\nFDNAME=stored', 1]);
  assert.deepEqual(await next(), { state: 'READY=1', fds: [] });
  assert.equal(await answerOf(path), `made of ${first.child.pid}`);

  let previous = first;
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    await stop(previous.child, signal);
    // Nobody accepts now, and nobody refuses.
    const waiting = answerOf(path);
    previous = activate(fds, { ...env, LISTEN_FDS: '1', LISTEN_FDNAMES: 'stored' }, [path]);
    assert.equal(await waiting, `stored of ${previous.child.pid}`);
    assert.deepEqual(await next(), { state: 'READY=1', fds: [] });
  }
  assert.deepEqual(readdirSync(directory).sort(), ['notify', 's']);
});

const noActivator =
  spawnSync('systemd-socket-activate', ['--version']).error !== undefined && 'takes systemd-socket-activate';

test('systemd-socket-activate starts a service', { skip: noActivator }, async () => {
  const path = join(temporaryDirectory(), 's');
  // It passes no other variables on. Sanitizers need theirs.
  const kept = Object.keys(process.env).filter((name) => /^(LD_PRELOAD|[A-Z]+SAN_OPTIONS)$/.test(name));
  const { child } = service(
    'systemd-socket-activate',
    ['-l', path, '--fdname=activated', ...kept.map((name) => `-E${name}`), process.execPath, FIXTURE],
    {},
  );
  assert.equal(await answerWhenListening(path), `activated of ${child.pid}`);
});
