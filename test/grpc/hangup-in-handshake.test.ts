import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { trackDescriptors } from '../support/fd-table.js';
import { dial, serve } from '../support/service.js';

trackDescriptors();

test('A client that hangs up with the last bytes of its TLS handshake leaves no connection at the server', async () => {
  const { address } = await serve({ unary: (_call, callback) => callback(null, {}) }, { security: 'TLS' });
  const raw = connect(address.slice('unix:'.length));
  await once(raw, 'connect');
  raw.on('error', () => {});
  let flights = 0;
  const transport = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, callback) {
      flights++;
      if (flights === 1) raw.write(chunk, callback);
      // The end of the stream follows these bytes before the server reads them.
      else raw.end(chunk, () => raw.destroy());
    },
  });
  raw.on('data', (chunk) => transport.push(chunk));
  const client = connectTls({ socket: transport, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
  client.on('error', () => {});
  await once(raw, 'close');
  client.destroy();
  // The server goes on, and its shutdown at the end of the test waits for every connection.
  assert.deepEqual(await (await dial(address, { security: 'TLS' })).unary({}), {});
});
