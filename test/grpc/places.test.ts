/** Directories, socket files, O_PATH descriptors and namespaces, used by a receiver in another process. */
import assert from 'node:assert/strict';
import { closeSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { trackDescriptors } from '../support/fd-table.js';
import { sharedState } from '../support/idle.js';
import { converse, KINDS } from '../support/kinds.js';
import { explore, makePlaces, openPlace, PLACES } from '../support/places.js';
import { startServerProcess } from '../support/server-process.js';
import { dial, type Security } from '../support/service.js';

const startServer = (security: Security, root: string): Promise<string> =>
  startServerProcess('./fixtures/places-server.js', import.meta.url, security, root);

/** What every receiver must find. */
function expectations(root: string): Record<string, unknown>[] {
  const namespace = (type: string) => ({
    type,
    id: Number(/\d+/.exec(readlinkSync(`/proc/self/ns/${type}`))?.[0]),
  });
  const directory = { names: ['note', 'way out'], note: 'the note', wayOut: 'ERR_GRPCFD_OPEN_FAILED' };
  const found = [
    directory,
    directory,
    { heard: 'hello' },
    { content: 'the note' },
    namespace('net'),
    namespace('uts'),
  ];
  const kinds = ['directory', 'directory', 'socket', 'file', 'namespace', 'namespace'];
  return PLACES.map(({ path, flags }, index) => ({
    inode: String(statSync(path.startsWith('/') ? path : join(root, path), { bigint: true }).ino),
    kind: kinds[index],
    access: flags === 0 ? 'read' : 'path',
    ...found[index],
  }));
}

describe('Directories, socket files and namespaces in another process', () => {
  trackDescriptors();

  for (const security of ['plaintext', 'TLS'] as const) {
    for (const name of ['url', 'ref'] as const) {
      test(`A server under ${security} uses what it received by ${name}`, async () => {
        const root = await makePlaces();
        const expected = expectations(root);
        const client = await dial(await startServer(security, root), { security });
        for (const [index, { what }] of PLACES.entries()) {
          const fds = grpcfd.callCredentials();
          const fd = openPlace(root, index);
          const before = sharedState(fd);
          const file = fds.sendFd(fd)[name];
          const kind = KINDS[index % KINDS.length] ?? 'unary';
          assert.deepEqual(await converse(client, kind, [{ file }], fds.options()), [expected[index]], what);
          assert.equal(sharedState(fd), before, what);
          closeSync(fd);
          fds.close();
        }
      });

      test(`A client under ${security} uses what it received by ${name}`, async () => {
        const root = await makePlaces();
        const expected = expectations(root);
        const client = await dial(await startServer(security, root), { security });
        for (const [index, { what }] of PLACES.entries()) {
          const fds = grpcfd.callCredentials();
          const kind = KINDS[index % KINDS.length] ?? 'unary';
          const [reply] = await converse(client, kind, [{ wanted: index }], fds.options());
          await using file = await fds.recvFile(String(reply?.[name]));
          assert.deepEqual(await explore(file), expected[index], what);
          fds.close();
        }
        assert.deepEqual(await converse(client, 'unary', [{}]), [{ isSame: true }]);
      });
    }
  }

  test('What sendFilename() opens by default can be explored, a namespace of /proc included', async () => {
    const root = await makePlaces();
    const expected = expectations(root);
    const client = await dial(await startServer('plaintext', root));
    for (const index of [1, 2, 3, 5]) {
      const { path = '', what } = PLACES[index] ?? {};
      using fds = grpcfd.callCredentials();
      const { ref } = fds.sendFilename(path.startsWith('/') ? path : join(root, path));
      const replies = await converse(client, 'unary', [{ file: ref }], fds.options());
      assert.deepEqual(replies, [expected[index]], what);
    }
  });
});
