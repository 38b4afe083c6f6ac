import assert from 'node:assert/strict';
import { once } from 'node:events';
import { constants, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { callCredentials, openFile, ReceivedFile } from 'grpcfd';
import { native, O_PATH } from '#src/native/binding.js';
import { runFixture, startFixture } from '../support/child.js';
import { assertFails, assertFailure } from '../support/failure.js';
import { trackDescriptors } from '../support/fd-table.js';
import { hangingFileSystem } from '../support/hanging-file-system.js';
import { isNonBlocking, newFifo } from '../support/idle.js';
import { temporaryDirectory } from '../support/temporary.js';

describe('openFile()', () => {
  trackDescriptors();

  test('opens a file to read by default, and gives what owns it', async () => {
    const path = join(temporaryDirectory(), 'file');
    writeFileSync(path, 'content');
    await using file = await openFile(path);
    assert.equal(file.access, 'read');
    assert.equal(await file.readFile('utf8'), 'content');
    await using made = await openFile(`${path}2`, { flags: 'w+' });
    assert.equal(made.access, 'readwrite');
    await using secret = await openFile(`${path}3`, { flags: 'w', mode: 0o600 });
    assert.equal((await secret.stat()).mode & 0o7777n, 0o600n);
    await using pathOnly = await openFile(path, { flags: O_PATH });
    assert.equal(pathOnly.access, 'path');
  });

  test('opens many files at once, each one right', async () => {
    const directory = temporaryDirectory();
    const paths = Array.from({ length: 100 }, (_, index) => join(directory, `${index}`));
    for (const path of paths) writeFileSync(path, path);
    const files = await Promise.all(paths.map((path) => openFile(path)));
    for (const [index, file] of files.entries()) {
      assert.equal(await file.readFile('utf8'), paths[index]);
      await file.close();
    }
  });

  test('fails with the failed system call', async () => {
    const error = await assertFails(openFile('/nowhere/at all'), 'ERR_GRPCFD_OPEN_FAILED', 'NOT_FOUND');
    assert.match(error.details, /^"\/nowhere\/at all" could not be opened: ENOENT: .*, open$/);
    assert.equal((error.cause as NodeJS.ErrnoException).code, 'ENOENT');
  });

  test('closes what is not as expected', async () => {
    const opening = openFile('/dev/null', { expect: { kind: 'file' } });
    const error = await assertFails(opening, 'ERR_GRPCFD_UNEXPECTED_KIND', 'FAILED_PRECONDITION');
    assert.match(error.details, /the kind device with the access read, but the kind file was expected$/);
  });

  test('opens a FIFO without a writer at once, blocking for those who share it', async () => {
    const path = newFifo();
    await using file = await openFile(path);
    assert.equal(file.kind, 'pipe');
    assert.equal(isNonBlocking(file.fd), false);
    const reading = text(file.createReadStream());
    await using writer = await openFile(path, { flags: 'w' });
    await writer.write(Buffer.from('hello'));
    await writer.close();
    assert.equal(await reading, 'hello');
  });

  test('fails at once with a FIFO that nobody reads, where it is to be written alone', async () => {
    const error = await assertFails(
      openFile(newFifo(), { flags: constants.O_WRONLY }),
      'ERR_GRPCFD_OPEN_FAILED',
      'NOT_FOUND',
    );
    assert.match(error.details, /ENXIO.*a FIFO that no process has open to read/);
  });

  describe('beneath a directory', () => {
    const tree = (): string => {
      const directory = join(temporaryDirectory(), 'inside');
      mkdirSync(join(directory, 'deep'), { recursive: true });
      writeFileSync(join(directory, 'deep', 'file'), 'inside');
      writeFileSync(join(directory, '..', 'secret'), 'outside');
      symlinkSync('deep/file', join(directory, 'good'));
      symlinkSync('../secret', join(directory, 'bad'));
      symlinkSync('/proc/self/exe', join(directory, 'absolute'));
      return directory;
    };

    test('opens what is there, by path and by descriptor, through links that stay there', async () => {
      const directory = tree();
      const root = new ReceivedFile(native.open(directory, O_PATH, 0));
      for (const beneath of [directory, root]) {
        for (const path of ['deep/file', 'good', 'deep/../good']) {
          await using file = await openFile(path, { beneath });
          assert.equal(await file.readFile('utf8'), 'inside');
        }
      }
      const opening = openFile('deep/file', { beneath: root });
      await root.close();
      await using file = await opening;
      assert.equal(await file.readFile('utf8'), 'inside');
      await assert.rejects(openFile('good', { beneath: root }), { reason: 'ERR_GRPCFD_FILE_CLOSED' });
    });

    test('has no way out', async () => {
      const beneath = tree();
      for (const path of [
        '../secret',
        'bad',
        'absolute',
        join(beneath, '..', 'secret'),
        'deep/../../secret',
      ]) {
        await assert.rejects(openFile(path, { beneath }), (error) => {
          const { cause } = assertFailure(error, 'ERR_GRPCFD_OPEN_FAILED', 'INVALID_ARGUMENT');
          return (cause as NodeJS.ErrnoException).code === 'EXDEV';
        });
      }
      const magic = openFile('fd/0', { beneath: '/proc/self' });
      await assert.rejects(magic, (error: { cause: NodeJS.ErrnoException }) => error.cause.code === 'ELOOP');
    });
  });

  test('waits until a lease on the file was given up', async () => {
    const path = join(temporaryDirectory(), 'leased');
    writeFileSync(path, 'content');
    const holder = startFixture('./fixtures/lease-holder.js', import.meta.url, [path]);
    assert.ok(holder.stdout);
    await once(holder.stdout, 'data');
    const fds = callCredentials();
    assert.throws(() => fds.sendFilename(path, { flags: 'r' }), {
      reason: 'ERR_GRPCFD_OPEN_FAILED',
      details: /EAGAIN.*\(another process has a lease on it: openFile\(\) waits\)/,
    });
    fds.close();
    await using file = await openFile(path);
    assert.equal(await file.readFile('utf8'), 'content');
    const exited = once(holder, 'exit');
    holder.kill('SIGKILL');
    await exited;
  });

  test('refuses wrong arguments', async () => {
    const refused = { reason: 'ERR_GRPCFD_INVALID_ARGUMENT' };
    await assert.rejects(openFile(5 as never), refused);
    await assert.rejects(openFile('a\0b'), refused);
    for (const options of [
      { flags: 'x' },
      { beneath: '' },
      { beneath: 5 },
      { beneath: 'a\0' },
      { expect: { kind: 'files' } },
      { signal: 'now' },
      { mode: -1 },
      { modes: 1 },
    ]) {
      await assert.rejects(openFile('/dev/null', options as never), refused, JSON.stringify(options));
    }
  });

  test('fails before it opens anything when its signal has aborted', async () => {
    const reason = new Error('too late');
    const error = await assertFails(
      openFile(join(temporaryDirectory(), 'new'), { flags: 'w', signal: AbortSignal.abort(reason) }),
      'ERR_GRPCFD_ABORTED',
      'CANCELLED',
    );
    assert.equal(error.cause, reason);
  });

  test('leaves nothing open in a worker that ends meanwhile', async () => {
    const program = `
      const { openFile } = await import(${JSON.stringify(import.meta.resolve('grpcfd'))});
      for (let i = 0; i < 50; i++) openFile('/proc/version');
      process.exit();`;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(program)}`));
    await new Promise((resolve) => worker.once('exit', resolve));
  });

  describe('on a file system that hangs', () => {
    const mountOrSkip = (t: { skip: (why: string) => void }) => {
      const mounted = hangingFileSystem();
      if (mounted === undefined) t.skip('this process may not mount FUSE');
      return mounted;
    };

    test('ends at a signal, stops no other work, and does not keep the process alive', async (t) => {
      const mounted = mountOrSkip(t);
      if (mounted === undefined) return;
      const { path } = mounted;
      for (const [how, output] of [
        ['exit', 'exits\n'],
        ['abort', 'ERR_GRPCFD_ABORTED\n'],
        ['queue', 'ERR_GRPCFD_ABORTED\nfile\n'],
      ] as const) {
        const { code, stdout, stderr } = await runFixture(
          './fixtures/hanging-opens.js',
          import.meta.url,
          [join(path, 'file'), how],
          {},
          30_000,
        );
        assert.deepEqual([code, stdout], [0, output], stderr);
      }
    });

    test('fails when that ends, and the others that wait for their turn go on', async (t) => {
      const mounted = mountOrSkip(t);
      if (mounted === undefined) return;
      const hanging = Array.from({ length: 16 }, () => openFile(join(mounted.path, 'file')));
      const failures = Promise.all(
        hanging.map((each) => assert.rejects(each, { reason: 'ERR_GRPCFD_OPEN_FAILED' })),
      );
      const last = openFile('/proc/version');
      mounted.end();
      await failures;
      await using file = await last;
      assert.equal(file.kind, 'file');
    });

    test('tells what a directory of it is without asking', async (t) => {
      const mounted = mountOrSkip(t);
      if (mounted === undefined) return;
      const file = new ReceivedFile(native.open(mounted.path, O_PATH, 0));
      assert.equal(file.kind, 'directory');
      mounted.end();
      await file.close();
    });
  });
});
