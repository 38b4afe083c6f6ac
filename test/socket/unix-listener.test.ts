import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs, {
  chmodSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { connect as plainConnect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { close, native } from '#src/native/binding.js';
import { UnixListener, type UnixListenerEvents, type UnixListenOptions } from '#src/socket/unix-listener.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

function listenNow(options: UnixListenOptions, events: UnixListenerEvents): UnixListener {
  return UnixListener.listenNow(options, events) ?? assert.fail('the directory is locked');
}

/** A listener whose connections can be waited for. */
function listen(options: UnixListenOptions): { listener: UnixListener; connection: () => Promise<number> } {
  const accepted: number[] = [];
  let wake = () => {};
  const listener = listenNow(options, {
    onConnection: (fd) => {
      accepted.push(fd);
      wake();
    },
    onError: (error) => assert.fail(error),
  });
  defer(() => {
    listener.close();
    native.closeAll(accepted);
  });
  const connection = async () => {
    while (accepted.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return accepted.shift() ?? -1;
  };
  return { listener, connection };
}

function connectTo(address: string): number {
  const fd = native.connectUnix(Buffer.from(address));
  defer(() => close(fd));
  return fd;
}

/** Leaves a socket file on which no process listens. */
function leaveDeadSocket(path: string): void {
  close(native.bindUnix(Buffer.from(path)));
}

test('A listener accepts connections as soon as it is constructed, and hands over connected descriptors', async () => {
  const path = join(temporaryDirectory(), 's');
  const { listener, connection } = listen({ path });
  assert.equal(listener.address, path);
  const client = connectTo(path);
  const server = await connection();
  assert.equal(native.peerCredentials(server).pid, process.pid);
  assert.equal(native.peerCredentials(client).pid, process.pid);
  close(server);
});

test('A listener leaves only the socket file in its directory, and removes the file on close', () => {
  const directory = temporaryDirectory();
  const path = join(directory, 's');
  const { listener } = listen({ path });
  assert.deepEqual(readdirSync(directory), ['s']);
  listener.close();
  listener.close();
  assert.equal(listener.closed, true);
  assert.deepEqual(readdirSync(directory), []);
  assert.throws(() => native.connectUnix(Buffer.from(path)), { code: 'ENOENT', syscall: 'connect' });
});

test('The socket file has the requested mode, whatever the umask', () => {
  const directory = temporaryDirectory();
  for (const mode of [0o600, 0o660, 0o777]) {
    const path = join(directory, mode.toString(8));
    listen({ path, mode });
    assert.equal(statSync(path).mode & 0o777, mode);
  }
  const path = join(directory, 'default');
  listen({ path });
  assert.equal(statSync(path).mode & 0o777, 0o777 & ~process.umask());
});

test('The socket file has the requested owner', (t) => {
  if (process.getuid?.() !== 0) return t.skip('takes root');
  const path = join(temporaryDirectory(), 's');
  listen({ path, uid: 1234, gid: 5678, mode: 0o640 });
  const { uid, gid, mode } = statSync(path);
  assert.deepEqual([uid, gid, mode & 0o777], [1234, 5678, 0o640]);
  return undefined;
});

test('A socket file on which no process listens is replaced', async () => {
  const directory = temporaryDirectory();
  const path = join(directory, 's');
  leaveDeadSocket(path);
  const { connection } = listen({ path });
  connectTo(path);
  close(await connection());
  assert.deepEqual(readdirSync(directory), ['s']);
});

test('A path on which another listener listens is in use, and stays unchanged', async () => {
  const directory = temporaryDirectory();
  const path = join(directory, 's');
  const { connection } = listen({ path });
  assert.throws(
    () => listen({ path }),
    (error: NodeJS.ErrnoException & { address?: string }) => {
      assert.equal(error.code, 'EADDRINUSE');
      assert.equal(error.syscall, 'bind');
      assert.equal(error.address, path);
      assert.equal(error.message, `EADDRINUSE: address already in use, bind ${path}`);
      return true;
    },
  );
  // The first listener does not notice the second.
  connectTo(path);
  const only = await connection();
  assert.equal(native.peerCredentials(only).pid, process.pid);
  close(only);
  assert.deepEqual(readdirSync(directory), ['s']);
});

test('A file that is not a socket is never replaced', () => {
  const directory = temporaryDirectory();
  const file = join(directory, 'file');
  writeFileSync(file, 'precious');
  const link = join(directory, 'link');
  symlinkSync('nowhere', link);
  for (const path of [file, link, directory]) {
    assert.throws(() => listen({ path }), { code: 'EADDRINUSE' });
  }
  assert.equal(readFileSync(file, 'utf8'), 'precious');
  assert.ok(lstatSync(link).isSymbolicLink());
  assert.deepEqual(readdirSync(directory).sort(), ['file', 'link']);
});

test('close() does not remove a socket file that another listener has created', () => {
  const path = join(temporaryDirectory(), 's');
  const { listener: first } = listen({ path });
  unlinkSync(path);
  listen({ path });
  first.close();
  assert.ok(existsSync(path));
  connectTo(path);
});

test('close() closes the socket and reports an error when the socket file cannot be removed', (t) => {
  const path = join(temporaryDirectory(), 's');
  const errors: Error[] = [];
  const listener = listenNow(
    { path },
    { onConnection: () => {}, onError: (error) => void errors.push(error) },
  );
  const denied = new Error('EACCES');
  // This simulates a process that changed its user after it bound the socket.
  t.mock.method(fs, 'unlinkSync', () => {
    throw denied;
  });
  syncBuiltinESMExports();
  listener.close();
  t.mock.restoreAll();
  syncBuiltinESMExports();
  assert.deepEqual(errors, [denied]);
  assert.throws(() => native.connectUnix(Buffer.from(path)), { code: 'ECONNREFUSED' });
  const { listener: next } = listen({ path });
  next.close();
  assert.equal(existsSync(path), false);
});

test('Exactly one of several processes that find the same dead socket at the same time gets the path', async () => {
  const directory = temporaryDirectory();
  const path = join(directory, 's');
  const program = fileURLToPath(new URL('fixtures/contender.js', import.meta.url));
  for (let round = 0; round < 3; round++) {
    leaveDeadSocket(path);
    const go = join(directory, `go${round}`);
    const contenders = Array.from({ length: 5 }, () => {
      const child = spawn(process.execPath, [program, path, go], { stdio: ['pipe', 'pipe', 'inherit'] });
      return {
        child,
        lines: createInterface(child.stdout)[Symbol.asyncIterator](),
        closed: once(child, 'close'),
      };
    });
    for (const { lines } of contenders) assert.equal((await lines.next()).value, 'ready');
    writeFileSync(go, '');
    const outcomes: string[] = await Promise.all(
      contenders.map(async ({ lines }) => (await lines.next()).value),
    );
    assert.deepEqual(outcomes.toSorted(), [...new Array(4).fill('EADDRINUSE'), 'listening']);
    const winner = contenders[outcomes.indexOf('listening')]?.child.pid;
    const client = native.connectUnix(Buffer.from(path));
    assert.equal(native.peerCredentials(client).pid, winner);
    close(client);
    for (const { child } of contenders) child.stdin.end();
    await Promise.all(contenders.map(({ closed }) => closed));
    unlinkSync(path);
    assert.deepEqual(
      readdirSync(directory).filter((name) => !name.startsWith('go')),
      [],
    );
  }
});

test('An abstract name consists of exactly the given bytes, without padding', async () => {
  const name = `grpcfd-test-${process.pid}`;
  const { listener, connection } = listen({ path: `\0${name}` });
  assert.ok(
    readFileSync('/proc/net/unix', 'latin1')
      .split('\n')
      .some((line) => line.endsWith(` @${name}`)),
  );
  for (const other of [`\0${name}\0`, `\0${name.slice(0, -1)}`]) {
    assert.throws(() => native.connectUnix(Buffer.from(other)), { code: 'ECONNREFUSED' });
  }
  connectTo(`\0${name}`);
  close(await connection());
  assert.throws(() => listen({ path: `\0${name}` }), { code: 'EADDRINUSE', syscall: 'bind' });
  listener.close();
  assert.throws(() => native.connectUnix(Buffer.from(`\0${name}`)), { code: 'ECONNREFUSED' });
});

test('An abstract name may contain NULs and fill the whole address', () => {
  const names = [`\0a\0b${process.pid}`, `\0${'x'.repeat(100)}${process.pid}`.slice(0, 108)];
  for (const name of names) {
    listen({ path: name });
    connectTo(name);
  }
  assert.throws(() => listen({ path: `\0${'x'.repeat(108)}` }), { code: 'ENAMETOOLONG' });
});

test('The longest path has 108 bytes', () => {
  const directory = temporaryDirectory();
  const longest = join(directory, 'x'.repeat(107 - directory.length));
  assert.equal(longest.length, 108);
  listen({ path: longest });
  connectTo(longest);
  assert.deepEqual(readdirSync(directory).length, 1);
  assert.throws(() => listen({ path: `${longest}x` }), { code: 'ENAMETOOLONG', syscall: 'bind' });
  assert.throws(() => connectTo(`${longest}x`), { code: 'ENAMETOOLONG', syscall: 'connect' });
  const shortName = join(directory, 'd'.repeat(104 - directory.length));
  assert.throws(() => listen({ path: join(shortName, 'a') }), { code: 'ENOENT' });
});

test('An address that the kernel would read as another address is refused', () => {
  for (const path of ['', '\0', 'a\0b']) {
    assert.throws(() => listen({ path }), { code: 'ERR_INVALID_ARG_VALUE' });
  }
});

test('Listening fails in a directory that does not exist or is not writable', (t) => {
  const directory = temporaryDirectory();
  const path = join(directory, 'missing', 's');
  assert.throws(() => listen({ path }), {
    code: 'ENOENT',
    syscall: 'bind',
    message: new RegExp(`bind ${path}$`),
  });
  if (process.getuid?.() === 0) return t.skip('root may write anywhere');
  chmodSync(directory, 0o500);
  assert.throws(() => listen({ path: join(directory, 's') }), { code: 'EACCES' });
  return undefined;
});

test('close() removes the file of a relative path after the working directory has changed', () => {
  const directory = temporaryDirectory();
  const home = process.cwd();
  defer(() => process.chdir(home));
  process.chdir(directory);
  const { listener } = listen({ path: 's' });
  process.chdir(home);
  listener.close();
  assert.deepEqual(readdirSync(directory), []);
});

test('close() resets connections that were not accepted', async () => {
  const path = join(temporaryDirectory(), 's');
  const listener = listenNow({ path }, { onConnection: close, onError: () => {} });
  const client = plainConnect(path);
  listener.close();
  const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNRESET');
});

test('After close() in onConnection, no listener is called any more', async () => {
  const path = join(temporaryDirectory(), 's');
  let heard = 0;
  const done = new Promise<void>((resolve) => {
    const listener = listenNow(
      { path },
      {
        onConnection: (fd) => {
          heard++;
          close(fd);
          listener.close();
          setImmediate(resolve);
        },
        onError: () => {},
      },
    );
  });
  connectTo(path);
  connectTo(path);
  await done;
  assert.equal(heard, 1);
});
