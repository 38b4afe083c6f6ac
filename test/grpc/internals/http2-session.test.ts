import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http2 from 'node:http2';
import { test } from 'node:test';
import { isStuck, leaveConnection, streamStartedWith } from '#src/grpc/internals/http2-session.js';
import { turn } from '../../support/bridged.js';
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
  test(`${what}: whether a session that reads nothing any more still waits for its peer`, async () => {
    const { client, session } = await sessions(secure);
    assert.equal(isStuck(client), true, 'it would read, if it could');
    const stream = client.request({ ':path': '/', ':method': 'POST' });
    await once(stream, 'response');
    client.close();
    assert.equal(isStuck(client), true, 'a stream is active');
    // It is echoed, and nobody reads it yet.
    stream.pause().end('data');
    while (isStuck(client)) await turn();
    assert.equal(client.destroyed, false);
    stream.resume();
    await once(client, 'close');
    assert.equal(isStuck(client), false, 'it is destroyed');
    await once(session, 'close');
  });
}

test('a stream is found by an object that it was started with, as long as it lives', async () => {
  const { client, session } = await sessions(false);
  const [value, other] = ['one', 'other'].map((text) => ({ toString: () => text }));
  assert.ok(value && other);
  client.request({ ':path': '/', ':method': 'POST' });
  // grpc-js gives lists of values.
  const streams = [value, other].map((each) =>
    client.request({ ':path': '/', ':method': 'POST', key: [each] as unknown as string[] }),
  );
  const [stream] = streams;
  assert.ok(stream);
  assert.equal(streamStartedWith(client, 'key', value), stream);
  assert.equal(streamStartedWith(client, 'key', other), streams[1]);
  assert.equal(streamStartedWith(client, 'key', {}), undefined);
  await once(stream, 'response');
  assert.equal(streamStartedWith(client, 'key', value), stream);
  assert.deepEqual([stream.closed, stream.destroyed], [false, false]);
  stream.close();
  await once(stream, 'close');
  assert.deepEqual([stream.closed, stream.destroyed], [true, true]);
  assert.equal(streamStartedWith(client, 'key', value), undefined);
  client.request({ ':path': '/', ':method': 'POST', key: 'text' });
  assert.throws(() => streamStartedWith(client, 'key', value), { reason: 'ERR_GRPCFD_INTERNALS_CHANGED' });
  client.destroy();
  await once(session, 'close');
});
