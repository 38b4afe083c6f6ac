/** namespace(): which namespace a descriptor is of, told by what a peer cannot forge. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { constants, openSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type GrpcFdError, type NamespaceType, ReceivedFile } from 'grpcfd';
import { native, O_PATH } from '#src/native/binding.js';
import { assertFailure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';
import { OPENINGS, receivedPath } from '../support/tree.js';

const TYPES: readonly NamespaceType[] = ['net', 'mnt', 'pid', 'user', 'uts', 'ipc', 'cgroup', 'time'];

/** As /proc shows it. */
const shown = (file: ReceivedFile) => {
  const { type, id } = file.namespace();
  return `${type}:[${id}]`;
};

function refusal(file: ReceivedFile): GrpcFdError {
  try {
    file.namespace();
  } catch (error) {
    return assertFailure(error, 'ERR_GRPCFD_UNEXPECTED_KIND', 'FAILED_PRECONDITION');
  }
  return assert.fail('it was taken for a namespace');
}

describe('namespace()', () => {
  trackDescriptors();

  for (const [how, flags] of OPENINGS) {
    test(`tells every type of namespace that is open ${how}`, () => {
      for (const type of TYPES) {
        const path = `/proc/self/ns/${type}`;
        assert.equal(shown(receivedPath(path, flags).file), readlinkSync(path));
      }
    });

    test(`tells a namespace that is mounted at a path and is open ${how}`, (t) => {
      const path = join(temporaryDirectory(), 'mnt:[1]');
      writeFileSync(path, '');
      if (spawnSync('mount', ['--bind', '/proc/self/ns/net', path]).status !== 0) {
        return t.skip('this process may not mount');
      }
      defer(() => spawnSync('umount', ['-l', path]));
      assert.equal(shown(receivedPath(path, flags).file), readlinkSync('/proc/self/ns/net'));
    });

    test(`tells the namespace of another process that is open ${how}`, async (t) => {
      const other = spawn('unshare', ['--net', 'sh', '-c', 'echo ready; exec sleep 60'], {
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      defer(async () => {
        if (other.exitCode !== null || other.signalCode !== null || other.pid === undefined) return;
        const closed = once(other, 'close');
        other.kill();
        await closed;
      });
      const ready = await Promise.race([
        once(other.stdout, 'data'),
        once(other, 'close'),
        once(other, 'error'),
      ]);
      if (!String(ready[0]).startsWith('ready')) return t.skip('this user cannot make a network namespace');
      const path = `/proc/${other.pid}/ns/net`;
      const { file } = receivedPath(path, flags);
      assert.equal(shown(file), readlinkSync(path));
      assert.notEqual(shown(file), readlinkSync('/proc/self/ns/net'));
    });
  }

  test('refuses what only looks like a namespace', async () => {
    await using named = new ReceivedFile(openSync(join(temporaryDirectory(), 'net:[4026531833]'), 'w+'));
    assert.equal(
      refusal(named).details,
      `${named.url} is of the kind file, but namespace() needs one of the kind namespace`,
    );
    await using link = new ReceivedFile(native.open('/proc/self/ns/net', O_PATH | constants.O_NOFOLLOW, 0));
    assert.match(refusal(link).details, /is of the kind symlink, /);
    await using process = new ReceivedFile(native.testing.pidFd());
    refusal(process);
  });

  test('fails after the file was closed', async () => {
    const { file } = receivedPath('/proc/self/ns/net', O_PATH);
    await file.close();
    assert.throws(() => file.namespace(), { reason: 'ERR_GRPCFD_FILE_CLOSED' });
  });
});
