import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ReceivedFile } from 'grpcfd';
import { fdToUrl } from '#src/descriptor/inode-url.js';
import { allClosed } from '../support/all-closed.js';
import { assertFailure } from '../support/failure.js';
import { trackDescriptors } from '../support/fd-table.js';
import { appending, FORGERIES, SPECIMENS } from '../support/specimens.js';
import { fileWith } from '../support/temporary.js';

describe('What a received file is', () => {
  trackDescriptors();

  for (const { what, kind, access, open } of SPECIMENS) {
    test(`${what} has the kind ${kind} and the access ${access}`, async () => {
      await using file = new ReceivedFile(open());
      assert.equal(file.kind, kind);
      assert.equal(file.access, access);
      assert.equal(file.pathOnly, access === 'path');
      assert.equal(file.append, false);
      assert.equal(file.url, fdToUrl(file.fd));
    });
  }

  for (const { what, kind, open } of FORGERIES) {
    test(`${what} has the kind ${kind}`, async () => {
      await using file = new ReceivedFile(open());
      assert.equal(file.kind, kind);
    });
  }

  test('A file that was opened with O_APPEND says so', async () => {
    await using file = new ReceivedFile(appending());
    assert.equal(file.append, true);
    assert.equal(file.access, 'write');
  });

  test('What only tells a kind is opened when the addon is loaded, and nothing of it stays open', () => {
    const program = fileURLToPath(new URL('./fixtures/kinds-once.js', import.meta.url));
    const { status, stderr } = spawnSync(process.execPath, [program], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
  });

  test('A file that is not as expected is closed, and the error says what it is and what was expected', async () => {
    const fd = fileWith('');
    assert.throws(
      () => new ReceivedFile(fd, { kind: ['memfd', 'pipe'], access: 'read' }),
      (error) => {
        const { details } = assertFailure(error, 'ERR_GRPCFD_UNEXPECTED_KIND', 'FAILED_PRECONDITION');
        const came = 'is of the kind file with the access readwrite';
        const expected = 'but the kind memfd or pipe with the access read was expected';
        return details.startsWith('inode://') && details.endsWith(`${came}, ${expected}`);
      },
    );
    await allClosed();
    assert.throws(() => closeSync(fd), { code: 'EBADF' });
  });

  const ACCESSES = ['read', 'write', 'readwrite', 'path'] as const;
  for (const { what, access, open } of SPECIMENS.filter(({ kind }) => kind === 'file')) {
    const good = ACCESSES.filter((each) => each === access || (access === 'readwrite' && each !== 'path'));
    test(`${what} is good where one of ${good} is expected, and nowhere else`, () => {
      for (const expected of ACCESSES) {
        const receive = () => new ReceivedFile(open(), { access: expected }).close();
        if (good.includes(expected)) receive();
        else assert.throws(receive, { reason: 'ERR_GRPCFD_UNEXPECTED_KIND' });
      }
    });
  }
});
