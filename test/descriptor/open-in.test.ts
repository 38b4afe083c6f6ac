/** openIn(): files in a directory that was received, and nothing outside of it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { constants, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type GrpcFdError, ReceivedFile } from 'grpcfd';
import { native, O_PATH } from '#src/native/binding.js';
import { runFixture, startFixture } from '../support/child.js';
import { failingSyscalls, whyNoFaults } from '../support/failing-syscalls.js';
import { assertFails, failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { hangingFileSystem } from '../support/hanging-file-system.js';
import { isNonBlocking } from '../support/idle.js';
import { fileWith } from '../support/temporary.js';
import { OPENINGS, receivedPath, tree } from '../support/tree.js';

const codeOf = (error: unknown) => ((error as GrpcFdError).cause as NodeJS.ErrnoException).code;

describe('openIn()', () => {
  trackDescriptors();

  for (const [how, flags] of OPENINGS) {
    test(`opens what is in a directory that is open ${how}, to read by default`, async () => {
      const { file: directory } = receivedPath(tree(), flags);
      for (const path of ['deep/file', 'good', 'deep/../good', './deep/./file', 'deep/up/good']) {
        await using file = await directory.openIn(path);
        assert.equal(file.access, 'read');
        assert.equal(isNonBlocking(file.fd), false);
        assert.equal(await file.readFile('utf8'), 'inside');
      }
      await using deep = await directory.openIn('deep', O_PATH);
      assert.deepEqual([deep.kind, deep.access], ['directory', 'path']);
      await using again = await deep.openIn('file', constants.O_RDWR);
      assert.equal(again.access, 'readwrite');
      await using itself = await directory.openIn('.', constants.O_RDONLY | constants.O_DIRECTORY);
      assert.equal(itself.url, directory.url);
    });

    test(`makes files in a directory that is open ${how}, with the mode that was asked for`, async () => {
      const path = tree();
      const { file: directory } = receivedPath(path, flags);
      const umask = process.umask(0o022);
      defer(() => process.umask(umask));
      for (const [name, mode, expected] of [
        ['usual', undefined, 0o644],
        ['number', 0o600, 0o600],
        ['option', { mode: 0o640 }, 0o640],
      ] as const) {
        await using made = await directory.openIn(name, 'w', mode);
        await made.write(Buffer.from(name));
        const { mode: got, size } = statSync(join(path, name));
        assert.deepEqual([got & 0o7777, size], [expected, name.length], name);
      }
      const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;
      await using nameless = await directory.openIn('.', O_TMPFILE | constants.O_RDWR, 0o600);
      assert.equal((await nameless.stat()).mode & 0o7777n, 0o600n);
    });

    test(`has no way out of a directory that is open ${how}`, async () => {
      const path = tree();
      const { file: directory } = receivedPath(path, flags);
      await using deep = await directory.openIn('deep');
      for (const [from, to] of [
        [directory, '..'],
        [directory, '../secret'],
        [directory, '../inside/good'],
        [directory, 'deep/../../secret'],
        [directory, 'bad'],
        [directory, 'absolute'],
        [directory, '/'],
        [directory, join(path, 'good')],
        [deep, 'up/good'],
        [deep, '../good'],
      ] as const) {
        const opening = from.openIn(to, O_PATH);
        const error = await assertFails(opening, 'ERR_GRPCFD_OPEN_FAILED', 'INVALID_ARGUMENT');
        assert.equal(codeOf(error), 'EXDEV', to);
      }
    });
  }

  test('follows no magic link of /proc', async () => {
    const { file: process } = receivedPath('/proc/self', O_PATH);
    for (const path of ['exe', 'cwd', 'root', 'fd/0', 'root/etc/passwd', 'ns/net']) {
      const error = await assertFails(process.openIn(path), 'ERR_GRPCFD_OPEN_FAILED', 'INVALID_ARGUMENT');
      assert.equal(codeOf(error), 'ELOOP', path);
      assert.match(error.details, /ELOOP.*\(a link of \/proc, /);
    }
    await using status = await process.openIn('status');
    assert.match(await status.readFile('utf8'), /^Name:/);
  });

  test('gets out neither while directories are renamed nor while links are swapped', async () => {
    const path = tree();
    const outside = join(path, '..');
    mkdirSync(join(outside, 'elsewhere'));
    writeFileSync(join(path, 'file'), 'inside');
    writeFileSync(join(outside, 'file'), 'outside');
    const { file: directory } = receivedPath(path, O_PATH);
    const swapping = startFixture('./fixtures/swapping.js', import.meta.url, [
      path,
      join(outside, 'elsewhere'),
    ]);
    defer(async () => {
      const exit = once(swapping, 'exit');
      swapping.kill();
      await exit;
    });
    swapping.stderr?.pipe(process.stderr, { end: false });
    await once(swapping.stdout ?? assert.fail(), 'data');
    const seen: Record<string, number> = {};
    const attempt = async (to: string) => {
      const outcome = await directory.openIn(to).then(
        async (file) => {
          const content = await file.readFile('utf8');
          await file.close();
          return content;
        },
        (error: unknown) => codeOf(error) ?? String(error),
      );
      seen[outcome] = (seen[outcome] ?? 0) + 1;
    };
    // Until both sides of the race were met.
    for (
      let round = 0;
      round < 20_000 && !(round > 300 && seen['inside'] && (seen['ENOENT'] || seen['EXDEV']));
      round++
    ) {
      await Promise.all([attempt('moving/deeper/../../file'), attempt('swapped'), attempt('moving/../file')]);
    }
    const { inside = 0, ENOENT = 0, EXDEV = 0, EAGAIN = 0, ...rest } = seen;
    assert.deepEqual(rest, {});
    assert.ok(inside > 0 && ENOENT + EXDEV > 0, JSON.stringify(seen));
    assert.ok(EAGAIN < inside, JSON.stringify(seen));
  });

  test('closes what is not as expected', async () => {
    const { file: directory } = receivedPath(tree(), O_PATH);
    const opening = directory.openIn('deep', 'r', { expect: { kind: 'file' } });
    const error = await assertFails(opening, 'ERR_GRPCFD_UNEXPECTED_KIND', 'FAILED_PRECONDITION');
    assert.match(error.details, /is of the kind directory .*, but the kind file was expected$/);
  });

  test('refuses what is no directory, what is closed, and wrong arguments', async () => {
    await using file = new ReceivedFile(fileWith('content'));
    const error = await assertFails(file.openIn('x'), 'ERR_GRPCFD_UNEXPECTED_KIND', 'FAILED_PRECONDITION');
    assert.equal(
      error.details,
      `${file.url} is of the kind file, but openIn() needs one of the kind directory`,
    );
    const { file: directory } = receivedPath(tree(), O_PATH);
    const refused = { reason: 'ERR_GRPCFD_INVALID_ARGUMENT' };
    for (const args of [
      [5],
      ['a\0b'],
      ['good', 'x'],
      ['good', -1],
      ['good', 2 ** 31],
      ['good', 'w', -1],
      ['good', 'w', 0o10000],
      ['good', 'r', { modes: 1 }],
      ['good', 'r', { expect: { kind: 'files' } }],
      ['good', 'r', { signal: 'now' }],
      ['good', 'r', null],
    ]) {
      await assert.rejects(directory.openIn(...(args as [string])), refused, JSON.stringify(args));
    }
    await directory.close();
    await assert.rejects(directory.openIn('good'), { reason: 'ERR_GRPCFD_FILE_CLOSED' });
  });

  test('fails before it opens anything when its signal has aborted', async () => {
    const { file: directory } = receivedPath(tree(), O_PATH);
    const reason = new Error('too late');
    const opening = directory.openIn('new', 'w', { signal: AbortSignal.abort(reason) });
    const error = await assertFails(opening, 'ERR_GRPCFD_ABORTED', 'CANCELLED');
    assert.equal(error.details, 'opening "new" was aborted');
    assert.equal(error.cause, reason);
    await assertFails(directory.openIn('new'), 'ERR_GRPCFD_OPEN_FAILED', 'NOT_FOUND');
  });

  test('tells a kernel without openat2, a sandbox that forbids it, and a directory that keeps changing apart', {
    skip: whyNoFaults(),
  }, async () => {
    const environment = { LD_PRELOAD: failingSyscalls() };
    for (const how of ['simulated', 'seccomp']) {
      const result = await runFixture('./fixtures/without-openat2.js', import.meta.url, [how], environment);
      assert.deepEqual([result.code, result.stdout], [0, 'passed\n'], result.stderr);
    }
  });

  test('of a file system that hangs ends at a signal and at close(), and then closes what it opened', async (t) => {
    const mounted = hangingFileSystem();
    if (mounted === undefined) return t.skip('this process may not mount FUSE');
    const directory = new ReceivedFile(native.open(mounted.path, O_PATH, 0));
    const abort = new AbortController();
    const { signal } = abort;
    const ended = [directory.openIn('x', 'r', { signal }), directory.readdir({ signal })].map(failure);
    const closed = [directory.openIn('x'), directory.readdir()].map(failure);
    abort.abort();
    for (const error of await Promise.all(ended))
      assert.equal((error as GrpcFdError).reason, 'ERR_GRPCFD_ABORTED');
    await directory.close();
    for (const error of await Promise.all(closed)) {
      assert.equal((error as GrpcFdError).reason, 'ERR_GRPCFD_FILE_CLOSED');
    }
    mounted.end();
  });
});
