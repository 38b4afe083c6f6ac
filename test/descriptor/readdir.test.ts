/** readdir(): the entries of a directory that was received, without moving the offset that its sender shares. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type DirectoryEntry, type GrpcFdError, ReceivedFile } from 'grpcfd';
import { native, O_PATH } from '#src/native/binding.js';
import { runFixture } from '../support/child.js';
import { failingSyscalls, whyNoFaults } from '../support/failing-syscalls.js';
import { assertFails, failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { hangingFileSystem } from '../support/hanging-file-system.js';
import { sharedState } from '../support/idle.js';
import { fileWith, temporaryDirectory } from '../support/temporary.js';
import { OPENINGS, receivedPath } from '../support/tree.js';

/** A directory with one entry of each kind that a directory tells. */
async function zoo(): Promise<{ path: string; entries: DirectoryEntry[] }> {
  const path = temporaryDirectory();
  writeFileSync(join(path, 'a file'), '');
  mkdirSync(join(path, 'Ordner für Größen'));
  symlinkSync('nowhere', join(path, 'link'));
  execFileSync('mkfifo', [join(path, 'pipe')]);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(join(path, 'socket'), resolve));
  defer(() => server.close());
  const entries: DirectoryEntry[] = [
    { name: 'Ordner für Größen', kind: 'directory' },
    { name: 'a file', kind: 'file' },
    { name: 'link', kind: 'symlink' },
    { name: 'pipe', kind: 'pipe' },
    { name: 'socket', kind: 'socket' },
  ];
  return { path, entries };
}

const byName = (entries: DirectoryEntry[]) => entries.sort((one, two) => (one.name < two.name ? -1 : 1));

describe('readdir()', () => {
  trackDescriptors();

  for (const [how, flags] of OPENINGS) {
    test(`lists a directory that is open ${how}, and tells kinds where they are asked for`, async () => {
      const { path, entries } = await zoo();
      const { file: directory } = receivedPath(path, flags);
      assert.deepEqual(
        (await directory.readdir()).sort(),
        entries.map(({ name }) => name),
      );
      assert.deepEqual(byName(await directory.readdir({ withFileTypes: true })), entries);
    });
  }

  test('lists devices', async () => {
    const { file: directory } = receivedPath('/dev', O_PATH);
    const entries = await directory.readdir({ withFileTypes: true });
    assert.equal(entries.find(({ name }) => name === 'null')?.kind, 'device');
  });

  test('lists a long directory once and whole, and leaves the place where its sender reads', async () => {
    const path = temporaryDirectory();
    const names = Array.from({ length: 5000 }, (_, index) => `${'long name '.repeat(5)}${index}`).sort();
    for (const name of names) closeSync(openSync(join(path, name), 'w'));
    const sender = native.open(path, 0, 0);
    defer(() => native.close(sender));
    await using directory = new ReceivedFile(native.duplicate(sender));
    const next = () =>
      new Promise<string[]>((resolve, reject) => {
        native.listInThread(native.duplicate(sender), (errno, bytes) =>
          errno === 0 ? resolve(String(bytes).split('\0').slice(0, -1)) : reject(errno),
        );
        native.keepAliveForThreads(true);
      });
    const first = await next();
    const place = sharedState(sender);
    assert.doesNotMatch(place, /^pos:\s0$/m);
    assert.deepEqual((await directory.readdir()).sort(), names);
    assert.equal(sharedState(sender), place);
    const rest: string[] = [];
    for (let part = await next(); part.length > 0; part = await next()) rest.push(...part);
    assert.equal(first.length + rest.length, names.length);
  });

  test('stops above maxEntries', async () => {
    const path = temporaryDirectory();
    for (const name of ['a', 'b', 'c']) closeSync(openSync(join(path, name), 'w'));
    const { file: directory } = receivedPath(path, O_PATH);
    assert.equal((await directory.readdir({ maxEntries: 3 })).length, 3);
    assert.equal((await directory.readdir({ maxEntries: Number.POSITIVE_INFINITY })).length, 3);
    const error = await assertFails(
      directory.readdir({ maxEntries: 2 }),
      'ERR_GRPCFD_FILE_TOO_LARGE',
      'RESOURCE_EXHAUSTED',
    );
    assert.equal(error.details, `the directory ${directory.url} has more than 2 entries`);
  });

  test('finds nothing in an empty directory, and in one that was removed', async () => {
    const path = temporaryDirectory();
    const { file: directory } = receivedPath(path, O_PATH);
    assert.deepEqual(await directory.readdir(), []);
    rmdirSync(path);
    assert.deepEqual(await directory.readdir(), []);
  });

  test('replaces what is not UTF-8 in a name, as node:fs does', async () => {
    const path = temporaryDirectory();
    closeSync(openSync(Buffer.concat([Buffer.from(`${path}/a`), Buffer.of(0xff)]), 'w'));
    const { file: directory } = receivedPath(path, O_PATH);
    assert.deepEqual(await directory.readdir(), ['a\ufffd']);
  });

  test('finds the kinds where the file system does not tell them', { skip: whyNoFaults() }, async () => {
    const { path, entries } = await zoo();
    const environment = { LD_PRELOAD: failingSyscalls() };
    const { code, stdout, stderr } = await runFixture(
      './fixtures/untyped-entries.js',
      import.meta.url,
      [path],
      environment,
    );
    assert.equal(code, 0, stderr);
    assert.deepEqual(byName(JSON.parse(stdout)), entries);
  });

  test('needs the right to open the directory anew, and says so', {
    skip: process.getuid?.() !== 0 && 'only root can become somebody else',
  }, async () => {
    const path = join(temporaryDirectory(), 'closed');
    mkdirSync(path, { mode: 0o700 });
    const { sender } = receivedPath(path, 0);
    const fixture = fileURLToPath(new URL('./fixtures/other-user-directory.js', import.meta.url));
    const child = spawn(process.execPath, [fixture], { stdio: [sender, 'pipe', 'inherit'] });
    assert.match(await text(child.stdout ?? assert.fail()), /^7 "\." could not be opened: EACCES: /);
  });

  test('refuses what is no directory, what is closed, and wrong options', async () => {
    await using file = new ReceivedFile(fileWith('content'));
    const error = await assertFails(file.readdir(), 'ERR_GRPCFD_UNEXPECTED_KIND', 'FAILED_PRECONDITION');
    assert.equal(
      error.details,
      `${file.url} is of the kind file, but readdir() needs one of the kind directory`,
    );
    const { file: directory } = receivedPath(temporaryDirectory(), O_PATH);
    for (const options of [
      { withFileTypes: 1 },
      { maxEntries: 0 },
      { maxEntries: '1' },
      { signal: 'now' },
      { recursive: true },
      null,
    ]) {
      const reading = directory.readdir(options as never);
      await assert.rejects(reading, { reason: 'ERR_GRPCFD_INVALID_ARGUMENT' }, JSON.stringify(options));
    }
    await assertFails(directory.readdir({ signal: AbortSignal.abort() }), 'ERR_GRPCFD_ABORTED', 'CANCELLED');
    await directory.close();
    await assert.rejects(directory.readdir(), { reason: 'ERR_GRPCFD_FILE_CLOSED' });
  });

  test('of directories that hang leaves the thread pool to others', async (t) => {
    const mounted = hangingFileSystem();
    if (mounted === undefined) return t.skip('this process may not mount FUSE');
    const directories = Array.from(
      { length: 8 },
      () => new ReceivedFile(native.open(mounted.path, O_PATH, 0)),
    );
    const failures = directories.map((each) => failure(each.readdir()));
    assert.ok((await readFile('/proc/version', 'utf8')).length > 0);
    await Promise.all(directories.map((each) => each.close()));
    for (const error of await Promise.all(failures)) {
      assert.equal((error as GrpcFdError).reason, 'ERR_GRPCFD_FILE_CLOSED');
    }
    mounted.end();
  });
});
