import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import type * as grpcfd from 'grpcfd';
import { trackDescriptors } from '../../support/fd-table.js';
import { withoutAuthContext } from '../../support/grpc-version.js';
import { dial, SECURITIES, serve } from '../../support/service.js';

trackDescriptors();

test('grpc-js has the class whose getAuthContext() every call of a handler asks in the end', {
  skip: withoutAuthContext,
}, () => {
  const file = createRequire(import.meta.url)('@grpc/grpc-js/build/src/server-interceptors.js');
  assert.equal(typeof file.BaseServerInterceptingCall?.prototype.getAuthContext, 'function');
});

for (const security of SECURITIES) {
  test(`${security}: the auth context of a call has the peer beside what grpc-js tells`, {
    skip: withoutAuthContext,
  }, async () => {
    const contexts: unknown[] = [];
    const { address } = await serve(
      {
        unary: (call, callback) => {
          contexts.push(call.getAuthContext());
          callback(null, {});
        },
      },
      { security },
    );
    const client = await dial(address, { security });
    await client.unary({});
    const [context] = contexts as [{ transportSecurityType?: string; unixPeer?: grpcfd.Peer }];
    assert.equal(context.unixPeer?.pid, process.pid);
    assert.equal(context.transportSecurityType, security === 'mutual TLS' ? 'ssl' : undefined);
  });
}
