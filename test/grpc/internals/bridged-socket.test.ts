import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { bridgedSocketOf } from '#src/grpc/internals/bridged-socket.js';
import { BRIDGED_PEER_NAME } from '../../support/bridged.js';
import { sessions } from '../../support/bridged-sessions.js';
import { trackDescriptors } from '../../support/fd-table.js';

trackDescriptors();

for (const secure of [false, true]) {
  const what = secure ? 'TLS' : 'plaintext';

  test(`${what}: HTTP/2 runs over a bridged socket, and finds it again`, async () => {
    const { near, far, client, session } = await sessions(secure);
    assert.equal(bridgedSocketOf(session), far.socket);
    assert.equal(session.socket.remoteAddress, BRIDGED_PEER_NAME);
    const stream = client.request({ ':method': 'POST' });
    const sent = Buffer.alloc(1_000_000, 'abc');
    stream.end(sent);
    const received: Buffer[] = [];
    for await (const chunk of stream) received.push(chunk as Buffer);
    assert.ok(Buffer.concat(received).equals(sent));
    const gone = once(session, 'close');
    client.close();
    await Promise.all([gone, once(client, 'close')]);
    assert.deepEqual([near.closed, far.closed], [[false], [false]]);
  });

  test(`${what}: ref and unref of a session reach the socket of Node`, async () => {
    const { near, client, session } = await sessions(secure);
    const handle = Reflect.get(near.socket, '_handle') as { hasRef(): boolean };
    client.unref();
    assert.equal(handle.hasRef(), false);
    client.ref();
    assert.equal(handle.hasRef(), true);
    client.destroy();
    await once(session, 'close');
  });

  test(`${what}: the end of the peer closes the session and the stream`, async () => {
    const { near, far, client, session } = await sessions(secure);
    const ends = Promise.all([once(client, 'close'), once(session, 'close')]);
    far.socket.destroy();
    await ends;
    assert.deepEqual([near.stream.isOpen, far.stream.isOpen], [false, false]);
  });
}
