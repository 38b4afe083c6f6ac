import assert from 'node:assert/strict';
import { closeSync, fstatSync, mkdtempSync, openSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fdToUrl, filenameToUrl, fileToUrl, urlToDevIno } from '#src/descriptor/inode-url.js';
import { trackDescriptors } from '../support/fd-table.js';

describe('urlToDevIno', () => {
  const accepted: [url: string | URL, dev: bigint, ino: bigint][] = [
    ['inode://4/42', 4n, 42n],
    ['inode://0/0', 0n, 0n],
    // Larger than the integers that a double represents exactly.
    ['inode://64769/9007199254740993', 64769n, 9007199254740993n],
    ['inode://18446744073709551615/18446744073709551615', 2n ** 64n - 1n, 2n ** 64n - 1n],
    // makedev(259, 70000): a device number stores the low byte of the minor number apart from its other bits.
    ['inode://286327664/7', 286327664n, 7n],
    ['inode://007/0042', 7n, 42n],
    [`inode://${'0'.repeat(100)}7/1`, 7n, 1n],
    ['INODE://4/42', 4n, 42n],
    ['inode://4/%34%32', 4n, 42n],
    ['inode://4/4%32', 4n, 42n],
    [new URL('inode://4/42'), 4n, 42n],
    [new URL('INODE://007/9007199254740993'), 7n, 9007199254740993n],
    [new URL('inode://18446744073709551615/18446744073709551615'), 2n ** 64n - 1n, 2n ** 64n - 1n],
  ];
  for (const [url, dev, ino] of accepted) {
    test(`urlToDevIno accepts ${url instanceof URL ? `URL ${url}` : JSON.stringify(url).slice(0, 60)}`, () => {
      assert.deepEqual(urlToDevIno(url), { dev, ino });
    });
  }

  const refused: [url: string | URL, details: RegExp][] = [
    ['', /^"" does not name a file: it is empty/],
    ['42', /scheme/],
    ['file:/x', /^"file:\/x" does not name a file: its scheme/],
    ['file:///proc/1/fd/1', /scheme/],
    [new URL('file:///4/42'), /scheme/],
    [' inode://4/42', /scheme/],
    ['inode:4/42', /two unsigned decimal numbers/],
    ['inode:/4/42', /two unsigned/],
    ['inode://proc/1/fd/1', /two unsigned/],
    ['inode://4', /two unsigned/],
    ['inode://4/', /two unsigned/],
    ['inode:///42', /two unsigned/],
    ['inode://4/42/', /two unsigned/],
    ['inode://4//42', /two unsigned/],
    ['inode://-4/42', /two unsigned/],
    ['inode://4/-42', /two unsigned/],
    ['inode://+4/42', /two unsigned/],
    ['inode://4/+42', /two unsigned/],
    ['inode://4/4_2', /two unsigned/],
    ['inode://0x4/42', /two unsigned/],
    ['inode://4.0/42', /two unsigned/],
    ['inode://4/4e1', /two unsigned/],
    ['inode://4/42%20', /two unsigned/],
    ['inode://4/%20', /two unsigned/],
    ['inode://4/%2F42', /two unsigned/],
    ['inode://4/42%', /two unsigned/],
    // Go refuses it as well: a host cannot have ASCII percent-encoded.
    ['inode://%34/42', /two unsigned/],
    ['inode://4:80/42', /two unsigned/],
    ['inode://user@4/42', /two unsigned/],
    ['inode://4/42\n', /two unsigned/],
    ['inode://4/٤٢', /two unsigned/],
    ['inode://4/42?a=b', /query or a fragment/],
    ['inode://4/42#f', /query or a fragment/],
    [new URL('inode://4/42?'), /query or a fragment/],
    ['inode://18446744073709551616/1', /above 2\^64-1/],
    ['inode://1/18446744073709551616', /above 2\^64-1/],
    [
      `inode://1/${'9'.repeat(100_000)}`,
      /^"inode:\/\/1\/9{110}…9{60}" \(100010 characters\) does not name a file: a number in it is above 2\^64-1$/,
    ],
    [undefined as unknown as string, /^"undefined"/],
  ];
  for (const [url, details] of refused) {
    test(`urlToDevIno refuses ${JSON.stringify(String(url)).slice(0, 60)}`, () => {
      assert.throws(() => urlToDevIno(url), { reason: 'ERR_GRPCFD_INVALID_URL', code: 3, details });
    });
  }
});

describe('fdToUrl, fileToUrl and filenameToUrl', () => {
  trackDescriptors();

  let directory: string;
  let file: string;
  let fd: number;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'grpcfd-'));
    file = join(directory, 'file');
    writeFileSync(file, 'content');
    fd = openSync(file, 'r');
  });

  after(() => {
    closeSync(fd);
    rmSync(directory, { recursive: true });
  });

  const urlOf = (stats: { dev: bigint; ino: bigint }): string => `inode://${stats.dev}/${stats.ino}`;

  test('The URL of a file has the device and the inode that fstat gives', () => {
    const expected = urlOf(fstatSync(fd, { bigint: true }));
    assert.equal(fdToUrl(fd), expected);
    assert.equal(fileToUrl({ fd }), expected);
    assert.equal(filenameToUrl(file), expected);
  });

  test('urlToDevIno reads back the URL of fdToUrl', () => {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    assert.deepEqual(urlToDevIno(fdToUrl(fd)), { dev, ino });
    assert.deepEqual(urlToDevIno(new URL(fdToUrl(fd))), { dev, ino });
  });

  test('filenameToUrl follows symlinks and the links in /proc', () => {
    const link = join(directory, 'link');
    symlinkSync(file, link);
    assert.equal(filenameToUrl(link), fdToUrl(fd));
    assert.equal(filenameToUrl(`/proc/self/fd/${fd}`), fdToUrl(fd));
    assert.match(filenameToUrl('/proc/self/ns/net'), /^inode:\/\/\d+\/\d+$/);
  });

  test('filenameToUrl accepts the name of a file that cannot be opened for reading', async () => {
    const path = join(directory, 'socket');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    assert.match(filenameToUrl(path), /^inode:\/\/\d+\/\d+$/);
    await new Promise((resolve) => server.close(resolve));
  });

  test('filenameToUrl fails for a name that does not exist, and its error has the cause', () => {
    assert.throws(() => filenameToUrl(join(directory, 'none')), {
      reason: 'ERR_GRPCFD_OPEN_FAILED',
      code: 5,
      details: /none" could not be opened: ENOENT/,
    });
  });

  test('filenameToUrl refuses a name with a NUL character', () => {
    assert.throws(() => filenameToUrl(`${file}\0.txt`), { reason: 'ERR_GRPCFD_INVALID_ARGUMENT' });
  });

  for (const bad of [-1, 1.5, Number.NaN, 2 ** 31 - 1, 2 ** 32, '0' as unknown as number]) {
    test(`fdToUrl refuses ${String(bad)} (${typeof bad}) as not an open file descriptor`, () => {
      assert.throws(() => fdToUrl(bad), {
        reason: 'ERR_GRPCFD_INVALID_ARGUMENT',
        details: `${typeof bad === 'string' ? `"${bad}"` : bad} is not an open file descriptor`,
      });
    });
  }
});
