import assert from 'node:assert/strict';
import * as dgram from 'node:dgram';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { descriptorOfDatagramSocket, setConnected } from '#src/internals/dgram-state.js';
import { native } from '#src/native/binding.js';
import { trackDescriptors } from '../support/fd-table.js';
import { boundTo, numberOf } from '../support/sockets.js';

describe('The state of a dgram.Socket', () => {
  trackDescriptors();

  test('It has a descriptor from bind() to close()', async () => {
    const socket = dgram.createSocket('udp4');
    assert.equal(descriptorOfDatagramSocket(socket), undefined);
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    assert.equal(native.describeSocket(numberOf(socket)).type, 2);
    socket.close();
    assert.equal(descriptorOfDatagramSocket(socket), undefined);
  });

  test('bind({ fd }) does not see that the socket is connected, and setConnected() tells it', async () => {
    const [first, other] = await Promise.all([boundTo('udp4'), boundTo('udp4')]);
    first.connect(other.address().port, '127.0.0.1');
    await once(first, 'connect');
    const second = dgram.createSocket('udp4');
    second.bind({ fd: native.duplicate(numberOf(first)), exclusive: true });
    assert.throws(() => second.remoteAddress(), { code: 'ERR_SOCKET_DGRAM_NOT_CONNECTED' });
    setConnected(second);
    assert.equal(second.remoteAddress().port, other.address().port);
    second.send('a datagram');
    assert.equal(String((await once(other, 'message'))[0]), 'a datagram');
    second.close();
  });
});
