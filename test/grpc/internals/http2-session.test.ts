import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http2 from 'node:http2';
import { test } from 'node:test';
import { leaveConnection } from '#src/grpc/internals/http2-session.js';
import { sessions } from '../../support/bridged-sessions.js';
import { trackDescriptors } from '../../support/fd-table.js';

trackDescriptors();

for (const secure of [false, true]) {
  const what = secure ? 'TLS' : 'plaintext';

  test(`${what}: a session is told to leave its connection`, async () => {
    const { transport, client, session } = await sessions(secure);
    const told = once(client, 'goaway');
    leaveConnection(transport);
    assert.equal((await told)[0], http2.constants.NGHTTP2_NO_ERROR);
    client.destroy();
    await once(session, 'close');
  });
}
