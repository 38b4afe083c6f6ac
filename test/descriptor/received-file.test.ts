import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  constants,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { constants as osConstants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer as collect, text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fdToUrl } from '#src/descriptor/inode-url.js';
import { openFile } from '#src/descriptor/open-file.js';
import { ReceivedFile } from '#src/descriptor/received-file.js';
import { close, native, O_PATH } from '#src/native/binding.js';
import { assertFailure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { isNonBlocking, sharedState } from '../support/idle.js';
import { openFileOf } from '../support/open-file.js';

const { O_RDONLY, O_RDWR, O_NOFOLLOW, O_NONBLOCK } = constants;

/** The target of a descriptor in /proc, or undefined if it is not open. */
function target(fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
}

describe('ReceivedFile', () => {
  trackDescriptors();

  let directory: string;
  let path: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'grpcfd-'));
    path = join(directory, 'file');
    writeFileSync(path, 'first line\nsecond line\n');
  });

  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  const receive = (flags = O_RDWR, name = path): ReceivedFile => new ReceivedFile(openFile(name, flags));

  describe('knows', () => {
    test('A received file knows its URL, kind and stats', async () => {
      await using file = receive();
      assert.equal(file.url, fdToUrl(file.fd));
      assert.equal(file.kind, 'file');
      assert.equal(file.pathOnly, false);
      assert.equal(file.closed, false);
      const stats = await file.stat();
      assert.equal(stats.size, 23n);
      assert.equal(stats.ino, fstatSync(file.fd, { bigint: true }).ino);
    });

    const kinds: [kind: string, open: () => number | Promise<number>][] = [
      ['directory', () => openFile(directory, O_RDONLY)],
      ['device', () => openFile('/dev/null', O_RDONLY)],
      ['symlink', () => openFile('/proc/self/exe', O_PATH | O_NOFOLLOW)],
      ['pipe', () => openEnd(native.testing.pipe())],
      ['socket', () => openEnd(native.socketPair())],
      ['epoll', () => native.duplicate(anonymousInode())],
    ];
    for (const [kind, open] of kinds) {
      test(`A received file of the kind "${kind}" knows its kind`, async () => {
        await using file = new ReceivedFile(await open());
        assert.equal(file.kind, kind);
      });
    }
  });

  test('A received file reads and writes at given positions, at its own position without one, and at the shared offset by name', async () => {
    await using file = receive();
    const sender = native.duplicate(file.fd);
    try {
      const buffer = Buffer.alloc(16, '.');
      assert.deepEqual(await file.read(buffer, 2, 4, 6), { bytesRead: 4, buffer });
      assert.equal(buffer.toString(), '..line..........');
      assert.equal((await file.write(Buffer.from('FIRST'), 0, 5, 0)).bytesWritten, 5);
      assert.equal(await file.readFile('utf8'), 'FIRST line\nsecond line\n');
      assert.equal((await collect(file.createReadStream())).length, 23);
      assert.equal(readSync(sender, Buffer.alloc(11)), 11, 'the offset is still 0');
      const rest = Buffer.alloc(100);
      const offset = () => /^pos:\t(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${sender}`, 'utf8'))?.[1];
      assert.equal((await file.read(rest, { length: 6 })).bytesRead, 6);
      assert.equal((await file.read(rest)).bytesRead, 17, 'it goes on where it was');
      assert.equal(rest.toString('utf8', 0, 17), 'line\nsecond line\n');
      assert.deepEqual(
        await Promise.all([file.read(rest), file.write(Buffer.from('x')), file.write(Buffer.from('y'))]),
        [
          { bytesRead: 0, buffer: rest },
          { bytesWritten: 1, buffer: Buffer.from('x') },
          { bytesWritten: 1, buffer: Buffer.from('y') },
        ],
      );
      assert.match(await file.readFile('utf8'), /second line\nxy$/);
      assert.equal(offset(), '11', 'nothing but the sender has moved the offset');
      const { bytesRead } = await file.read(rest, { position: 'shared' });
      assert.equal(rest.toString('utf8', 0, bytesRead), 'second line\nxy');
      assert.equal(offset(), '25');
    } finally {
      close(sender);
    }
  });

  describe('readFile', () => {
    test('readFile reads files that are longer than one read, byte for byte', async () => {
      const content = Buffer.alloc(1_000_003, 'grpcfd');
      content[500_000] = 0xff;
      writeFileSync(path, content);
      await using file = receive();
      assert.ok((await file.readFile()).equals(content));
      assert.equal(await file.readFile({ encoding: 'hex' }), content.toString('hex'));
    });

    test('readFile reads files without a size, empty files and unlinked files', async () => {
      await using version = receive(O_RDONLY, '/proc/version');
      assert.equal(await version.readFile('utf8'), readFileSync('/proc/version', 'utf8'));
      await using file = receive();
      unlinkSync(path);
      assert.equal(await file.readFile('latin1'), 'first line\nsecond line\n');
      truncateSync(`/proc/self/fd/${file.fd}`);
      assert.deepEqual(await file.readFile(), Buffer.alloc(0));
    });

    test('readFile stops above maxBytes, whatever the size of the file', async () => {
      await using file = receive();
      assert.equal((await file.readFile({ maxBytes: 23 })).length, 23);
      await assert.rejects(file.readFile({ maxBytes: 22 }), {
        reason: 'ERR_GRPCFD_FILE_TOO_LARGE',
        code: 8,
        details: /more than 22 bytes/,
      });
      await using endless = receive(O_RDONLY, '/dev/zero');
      await assert.rejects(endless.readFile({ maxBytes: 1_000_000 }), {
        reason: 'ERR_GRPCFD_FILE_TOO_LARGE',
      });
    });
  });

  describe('streams', () => {
    test('Streams read a range in several chunks', async () => {
      await using file = receive();
      assert.equal(await text(file.createReadStream({ start: 6, end: 9 })), 'line');
      assert.equal(await text(file.createReadStream({ start: 11, highWaterMark: 5 })), 'second line\n');
      assert.equal(await text(file.createReadStream({ start: 23 })), '');
      assert.equal(await text(file.createReadStream({ start: 11, highWaterMark: 0 })), 'second line\n');
      assert.equal(file.closed, false);
    });

    test('Streams copy a file that is longer than their buffers', async () => {
      const content = Buffer.alloc(700_001, 'abcdefg');
      writeFileSync(path, content);
      const copyPath = join(directory, 'copy');
      await using file = receive();
      await using copy = new ReceivedFile(openSync(copyPath, 'w+'));
      await pipeline(file.createReadStream(), copy.createWriteStream({ start: 3 }));
      assert.ok(readFileSync(copyPath).equals(Buffer.concat([Buffer.alloc(3), content])));
      assert.equal(readSync(copy.fd, Buffer.alloc(1)), 1, 'the offset is still 0');
    });

    test('Streams read a pipe as its bytes arrive', async () => {
      const [readEnd, writeEnd] = blockingPipe();
      await using reader = new ReceivedFile(readEnd);
      const writer = new ReceivedFile(writeEnd);
      const reading = text(reader.createReadStream());
      const writing = writer.createWriteStream();
      writing.write('through ');
      await new Promise((resolve) => writing.end('a pipe', () => resolve(undefined)));
      await writer.close();
      assert.equal(await reading, 'through a pipe');
    });

    for (const bad of [-1, 0.5, Number.NaN, '0' as unknown as number]) {
      test(`Streams refuse an offset of ${String(bad)} (${typeof bad})`, async () => {
        await using file = receive();
        const expected = { reason: 'ERR_GRPCFD_INVALID_ARGUMENT' };
        assert.throws(() => file.createReadStream({ start: bad }), expected);
        assert.throws(() => file.createReadStream({ end: bad }), expected);
        assert.throws(() => file.createWriteStream({ start: bad }), expected);
      });
    }

    test('Streams fail after their file is closed', async () => {
      const file = receive();
      const reading = file.createReadStream();
      const writing = file.createWriteStream();
      await file.close();
      await assert.rejects(text(reading), { reason: 'ERR_GRPCFD_FILE_CLOSED' });
      await assert.rejects(pipeline(['x'], writing), { reason: 'ERR_GRPCFD_FILE_CLOSED' });
    });
  });

  test('Errors of failed system calls are passed on unchanged', async () => {
    await using readOnly = receive(O_RDONLY);
    await assert.rejects(readOnly.write(Buffer.from('x'), 0, 1, 0), { code: 'EBADF', syscall: 'write' });
    await using folder = receive(O_RDONLY, directory);
    await assert.rejects(folder.readFile(), { code: 'EISDIR', syscall: 'read' });
  });

  describe('of an O_PATH descriptor', () => {
    test('A received O_PATH descriptor has stats and no content', async () => {
      await using file = receive(O_PATH);
      assert.equal(file.pathOnly, true);
      assert.equal(file.kind, 'file');
      assert.equal((await file.stat()).size, 23n);
      const expected = {
        reason: 'ERR_GRPCFD_PATH_ONLY',
        code: 9,
        details: new RegExp(`reopen\\(flags\\).*/proc/self/fd/${file.fd}$`),
      };
      await assert.rejects(file.read(Buffer.alloc(1)), expected);
      await assert.rejects(file.write(Buffer.alloc(1)), expected);
      await assert.rejects(file.readFile(), expected);
      assert.throws(() => file.createReadStream(), expected);
      assert.throws(() => file.createWriteStream(), expected);
    });

    test('A received O_PATH descriptor can be reopened through /proc with its own offset, even when unlinked', async () => {
      await using file = receive(O_PATH);
      unlinkSync(path);
      await using reopened = file.reopen(O_RDONLY);
      assert.notEqual(reopened.fd, file.fd);
      assert.equal(reopened.url, file.url);
      assert.equal(reopened.pathOnly, false);
      assert.equal(await reopened.readFile('utf8'), 'first line\nsecond line\n');
      await using again = reopened.reopen(O_RDONLY);
      await reopened.read(Buffer.alloc(11));
      const { bytesRead } = await again.read(Buffer.alloc(100));
      assert.equal(bytesRead, 23);
    });

    test('Reopening an O_PATH descriptor of a socket fails with an error that gives the reason', async () => {
      const name = join(directory, 'socket');
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(name, resolve));
      {
        await using file = receive(O_PATH, name);
        assert.equal(file.kind, 'socket');
        assert.throws(() => file.reopen(O_RDWR), {
          reason: 'ERR_GRPCFD_OPEN_FAILED',
          details: /ENXIO/,
          code: 5,
        });
      }
      await new Promise((resolve) => server.close(resolve));
    });
  });

  test('Reopening a pipe without a writer does not block', async () => {
    const [readEnd, writeEnd] = native.testing.pipe();
    close(writeEnd);
    await using file = new ReceivedFile(readEnd);
    await using reopened = file.reopen(O_RDONLY);
    assert.equal(reopened.kind, 'pipe');
  });

  test('Reopening gives a blocking open file unless O_NONBLOCK is asked for, and leaves the flags of this one', async () => {
    const [readEnd, writeEnd] = native.testing.pipe();
    defer(() => close(writeEnd));
    for (const isOwn of [true, false]) {
      native.setNonBlocking(readEnd, isOwn);
      await using file = new ReceivedFile(native.duplicate(readEnd));
      const before = sharedState(readEnd);
      for (const [flags, expected] of [
        [O_RDONLY, false],
        [O_RDONLY | O_NONBLOCK, true],
      ] as const) {
        await using reopened = file.reopen(flags);
        assert.equal(isNonBlocking(reopened.fd), expected);
      }
      assert.equal(sharedState(readEnd), before);
    }
    close(readEnd);
  });

  describe('close', () => {
    test('close() closes once, and later operations fail', async () => {
      const file = receive();
      const { fd } = file;
      const closing = file.close();
      assert.equal(file.closed, true);
      assert.equal(file.close(), closing);
      await closing;
      assert.equal(target(fd), undefined);
      const expected = { reason: 'ERR_GRPCFD_FILE_CLOSED', code: 9, details: /was closed or released/ };
      assert.throws(() => file.fd, expected);
      assert.throws(() => file.release(), expected);
      assert.throws(() => file.reopen(O_RDONLY), expected);
      await assert.rejects(file.stat(), expected);
      await assert.rejects(file.read(Buffer.alloc(1)), expected);
      await assert.rejects(file.write(Buffer.alloc(1)), expected);
      await assert.rejects(file.readFile(), expected);
      assert.match(file.url, /^inode:/);
      assert.equal(file.kind, 'file');
    });

    test('close() ends a read that waits, and closes the descriptor', async () => {
      const [readEnd, writeEnd] = blockingPipe();
      const file = new ReceivedFile(readEnd);
      const content = Buffer.alloc(5);
      const reading = assert.rejects(file.read(content), { reason: 'ERR_GRPCFD_FILE_CLOSED' });
      await file.close();
      await reading;
      await assert.rejects(file.stat(), { reason: 'ERR_GRPCFD_FILE_CLOSED' });
      assert.equal(target(readEnd), undefined);
      close(writeEnd);
    });

    test('Closing many files with running reads never makes a read reach another file', async () => {
      const paths = Array.from({ length: 20 }, (_, index) => join(directory, `${index}`));
      for (const name of paths) writeFileSync(name, name.repeat(1000));
      for (let round = 0; round < 20; round++) {
        await Promise.all(
          paths.map(async (name) => {
            await using file = receive(O_RDONLY, name);
            const reads = [file.readFile('utf8'), file.readFile('utf8')];
            file[Symbol.dispose]();
            for (const read of reads) assert.equal(await read, name.repeat(1000));
          }),
        );
      }
    });

    test('"using" closes at once when no operation is running', () => {
      let fd: number;
      {
        using file = receive();
        fd = file.fd;
        assert.ok(target(fd));
      }
      assert.equal(target(fd), undefined);
    });
  });

  describe('release', () => {
    test('release() gives the descriptor to the caller for good', async () => {
      const file = receive();
      const { fd } = file;
      assert.equal(file.release(), fd);
      assert.equal(file.closed, true);
      await file.close();
      file[Symbol.dispose]();
      assert.equal(target(fd), path);
      close(fd);
    });

    test('release() gives a duplicate while an operation is running', async () => {
      const file = receive();
      const { fd } = file;
      const reading = file.readFile('utf8');
      const released = file.release();
      assert.notEqual(released, fd);
      assert.equal(target(released), path);
      close(released);
      assert.equal(await reading, 'first line\nsecond line\n');
      await file.close();
      assert.equal(target(fd), undefined);
    });
  });

  describe('duplicate', () => {
    test('gives another descriptor of the same open file, which outlives the first', async () => {
      const file = receive();
      await using copy = file.duplicate();
      assert.notEqual(copy.fd, file.fd);
      assert.equal(openFileOf(copy.fd), openFileOf(file.fd));
      assert.equal(copy.url, file.url);
      readSync(file.fd, Buffer.alloc(6));
      assert.equal(openFileOf(copy.fd), openFileOf(file.fd), 'the offset is shared');
      await file.close();
      assert.equal(copy.closed, false);
      assert.equal(await copy.readFile('utf8'), 'first line\nsecond line\n');
    });

    test('can be given away', () => {
      using file = receive();
      const fd = file.duplicate().release();
      assert.equal(target(fd), path);
      close(fd);
      assert.equal(file.closed, false);
    });

    test('of one that was opened with O_PATH is as well', async () => {
      await using file = receive(O_PATH);
      await using copy = file.duplicate();
      assert.equal(copy.pathOnly, true);
    });

    test('fails once the file is closed or released', async () => {
      const closed = receive();
      await closed.close();
      const released = receive();
      const fd = released.release();
      for (const file of [closed, released]) {
        assert.throws(
          () => file.duplicate(),
          (error) => assertFailure(error, 'ERR_GRPCFD_FILE_CLOSED', 'FAILED_PRECONDITION') !== undefined,
        );
      }
      close(fd);
    });

    test('fails with the reason while the descriptor table is full, and leaves the file as it was', async (t) => {
      await using file = receive();
      t.mock.method(native, 'duplicate', () => {
        throw native.systemError(osConstants.errno.EMFILE, 'fcntl');
      });
      assert.throws(
        () => file.duplicate(),
        (error) => {
          const { cause } = assertFailure(error, 'ERR_GRPCFD_RECEIVE_FAILED', 'RESOURCE_EXHAUSTED');
          return (cause as NodeJS.ErrnoException).code === 'EMFILE';
        },
      );
      assert.equal(await file.readFile('utf8'), 'first line\nsecond line\n');
    });
  });

  test('what can not be looked at is not taken', () => {
    assert.throws(
      () => new ReceivedFile(2 ** 30),
      (error) => {
        const { cause } = assertFailure(error, 'ERR_GRPCFD_RECEIVE_FAILED', 'INVALID_ARGUMENT');
        return (cause as NodeJS.ErrnoException).code === 'EBADF';
      },
    );
  });

  test('A received file that is garbage collected unclosed is closed with one warning; closed and released files are not', async () => {
    const program = new URL('./fixtures/collect-unclosed.js', import.meta.url);
    const child = spawn(process.execPath, ['--expose-gc', fileURLToPath(program), path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = new Promise((resolve) => child.once('exit', resolve));
    const report = JSON.parse(await text(child.stdout));
    assert.equal(await exited, 0);
    assert.deepEqual(report.codes, ['GRPCFD_UNCLOSED']);
    assert.match(report.message, /inode:\/\/\d+\/\d+\) was collected/);
    assert.equal(report.unclosedIsOpen, false);
    assert.equal(report.releasedIsOpen, true);
  });

  test('A worker that ends leaves no received file open', async () => {
    const { Worker } = await import('node:worker_threads');
    const program = new URL('./fixtures/worker-with-files.js', import.meta.url);
    const worker = new Worker(program, { workerData: path });
    const fds = await new Promise<{ owned: number; released: number }>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    assert.equal(target(fds.owned), path);
    await worker.terminate();
    assert.equal(target(fds.owned), undefined);
    assert.equal(target(fds.released), path);
    close(fds.released);
  });
});

function openEnd([kept, other]: [number, number]): number {
  close(other);
  return kept;
}

/** Reopens the pipe, which does not block, because a test must not change the flags of the open file that others share. */
function blockingPipe(): [readEnd: number, writeEnd: number] {
  const [readEnd, writeEnd] = native.testing.pipe();
  const blocking = openFile(`/proc/self/fd/${readEnd}`, O_RDONLY);
  close(readEnd);
  return [blocking, writeEnd];
}

/** The epoll descriptor of the event loop of this process: a descriptor without an inode of its own. */
function anonymousInode(): number {
  for (let fd = 3; fd < 100; fd++) {
    if (target(fd) === 'anon_inode:[eventpoll]') return fd;
  }
  return assert.fail('no epoll descriptor is open');
}
