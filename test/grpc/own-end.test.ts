import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { failure } from '../support/failure.js';
import { trackDescriptors } from '../support/fd-table.js';
import { FrameClient } from '../support/frame-peer.js';
import { callHeaders, FRAME, message } from '../support/http2-frames.js';
import { serve, shutDown, testService } from '../support/service.js';
import { settledWithin, within } from '../support/until.js';

trackDescriptors();

const SOON_MS = 2_000;
const FILES = 50;

for (const security of ['plaintext', 'TLS'] as const) {
  for (const place of ['first', 'last'] as const) {
    test(`${security}: a client that sends its own end of the connection, ${place} among others, and exits does not keep it open`, async () => {
      const connections: grpcfd.FdConnection[] = [];
      const waits: Promise<unknown>[] = [];
      const { server, address } = await serve(
        {
          unary: grpcfd.handler(async (_call, fds) => {
            const wait = fds.recvFd('inode://1/1');
            waits.push(failure(wait));
            await wait;
            return {};
          }),
        },
        { security, options: { onConnection: (connection) => void connections.push(connection) } },
      );
      const client = await FrameClient.connect(address, security);
      await client.first(FRAME.SETTINGS);
      const files = Array.from({ length: FILES }, () => openSync('/dev/null', 'r'));
      const sent = place === 'first' ? [client.fd, ...files] : [...files, client.fd];
      client.sendFds(sent);
      const claim = `id;a.0.1.${sent.map((fd) => native.inode(fd)).join('.')}`;
      client.write(callHeaders(1, testService.unary.path, { 'grpcfd-fds': claim }), message(1, {}));
      native.closeAll(files);
      await within(SOON_MS, 'the call waits', () => waits.length === 1);
      const [connection] = connections;
      // What stands in the place of the end keeps the others in theirs.
      const { receivedFds, claimedFds } = connection?.stats() ?? {};
      assert.deepEqual([receivedFds, claimedFds], [FILES + 1, FILES]);

      const reference = `fd:idc:${place === 'first' ? 1 : FILES + 1}`;
      const receive = connection?.recvFd(reference) ?? Promise.resolve(-1);
      await assert.rejects(receive, { reason: 'ERR_GRPCFD_NOT_FOUND', details: /end of this connection/ });

      client.destroy();
      await settledWithin(SOON_MS, 'the connection closes', connection?.closed ?? Promise.reject());
      await settledWithin(SOON_MS, 'the wait settles', Promise.all(waits));
      assert.equal(connection?.stats().heldFds, 0);
      await settledWithin(SOON_MS, 'tryShutdown() ends', shutDown(server));
    });
  }
}
