/** What a file is, told by its receiver in another process. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { describe, test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { trackDescriptors } from '../support/fd-table.js';
import { converse, KINDS } from '../support/kinds.js';
import { startServerProcess } from '../support/server-process.js';
import { dial, type Security } from '../support/service.js';
import { SPECIMENS } from '../support/specimens.js';

const startServer = (security: Security): Promise<string> =>
  startServerProcess('./fixtures/kinds-server.js', import.meta.url, security);

describe('Kinds of descriptors in another process', () => {
  trackDescriptors();

  const expected = SPECIMENS.map(({ kind, access }) => ({ kind, access, append: false }));
  for (const security of ['plaintext', 'TLS'] as const) {
    for (const name of ['url', 'ref'] as const) {
      test(`A server under ${security} tells what it received by ${name}`, async () => {
        const client = await dial(await startServer(security), { security });
        // By URL, what shares an inode must not be in one call.
        for (const [index, { open, what }] of SPECIMENS.entries()) {
          const fds = grpcfd.callCredentials();
          const fd = open();
          const file = fds.sendFd(fd)[name];
          closeSync(fd);
          const kind = KINDS[index % KINDS.length] ?? 'unary';
          assert.deepEqual(await converse(client, kind, [{ file }], fds.options()), [expected[index]], what);
          fds.close();
        }
      });

      test(`A client under ${security} tells what it received by ${name}`, async () => {
        const client = await dial(await startServer(security), { security });
        for (const [index, { what }] of SPECIMENS.entries()) {
          const fds = grpcfd.callCredentials();
          const [reply] = await converse(client, 'unary', [{ wanted: index }], fds.options());
          await using file = await fds.recvFile(String(reply?.[name]));
          const { kind, access, append } = file;
          assert.deepEqual({ kind, access, append }, expected[index], what);
          fds.close();
        }
      });
    }
  }
});
