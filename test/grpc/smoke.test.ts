import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { dial, SECURITIES, serve } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

for (const security of SECURITIES) {
  for (const name of ['url', 'ref'] as const) {
    test(`${security}: a call sends a file by its ${name}, and its reply brings another file`, async () => {
      const question = fileWith('from the client');
      const answer = fileWith('from the server');
      defer(() => closeSync(question));
      defer(() => closeSync(answer));
      const { address } = await serve(
        {
          unary: grpcfd.handler(async (call, fds) => {
            const file = await fds.recvFile(String(call.request['file']));
            const content = (await file.readFile()).toString();
            await file.close();
            return { content, file: fds.sendFd(answer)[name] };
          }),
        },
        { security },
      );
      const client = await dial(address, { security });
      const fds = grpcfd.callCredentials();
      const sent = fds.sendFd(question);
      const reply = await client.unary({ file: sent[name] }, fds.options());
      await sent.sent;
      assert.equal(reply['content'], 'from the client');
      assert.equal(contentOf(await fds.recvFd(String(reply['file']))), 'from the server');
      fds.close();
    });
  }
}
