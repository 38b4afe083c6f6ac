import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http2 from 'node:http2';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { noteRequestsOf, requestingSession } from '#src/grpc/internals/requesting-session.js';
import { defer, trackDescriptors } from '../../support/fd-table.js';
import { freshAddress } from '../../support/service.js';

trackDescriptors();

test('a header value that is made in request() knows its session, also where that request fails', async () => {
  const server = http2.createServer((_request, response) => void response.end());
  const path = freshAddress().slice('unix:'.length);
  server.listen(path);
  await once(server, 'listening');
  defer(() => promisify(server.close.bind(server))());
  const sessions = [1, 2].map(() => http2.connect('http://localhost', { path }));
  const seen: unknown[] = [];
  const header = { toString: () => String(seen.push(requestingSession())) } as unknown as string;
  const throws = {
    toString: () => {
      throw new Error('no value');
    },
  } as unknown as string;
  for (const session of sessions) {
    noteRequestsOf(session);
    await once(session.request({ 'x-header': [header] }).resume(), 'close');
    assert.throws(() => session.request({ 'x-header': [throws] }), /no value/);
    assert.equal(requestingSession(), undefined);
  }
  assert.deepEqual(seen, sessions);
  for (const session of sessions) session.close();
});
