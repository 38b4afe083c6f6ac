/** `http2Client()` with sessions of node:http2. test/frameworks/connect.test.ts has it below Connect. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import * as http2 from 'node:http2';
import { test } from 'node:test';
import { promisify } from 'node:util';
import * as grpcfd from 'grpcfd';
import { failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { freshAddress } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

const NAME = 'x-name';

/** A server that answers each request with the content of the file that it names. `requests` counts them. */
async function serveContents() {
  const address = freshAddress();
  const counts = { requests: 0 };
  const server = http2.createServer((request, response) => {
    counts.requests++;
    const content = async () => {
      await using file = await grpcfd.fromCall(request).recvFile(String(request.headers[NAME]));
      return contentOf(file.fd);
    };
    content().then(
      (text) => response.end(text),
      (error: Error) => response.end(error.message),
    );
  });
  grpcfd.carryDescriptorsOn(server);
  server.listen({ path: address.slice('unix:'.length) });
  await once(server, 'listening');
  defer(() => promisify(server.close.bind(server))());
  return { address, counts };
}

type CreateConnection = grpcfd.FdHttp2Client['createConnection'];

async function openSession(createConnection: CreateConnection): Promise<http2.ClientHttp2Session> {
  const session = http2.connect('http://localhost', { createConnection });
  defer(() => session.destroy());
  await once(session, 'connect');
  return session;
}

/** What the server answers to a call with a file of this content. */
async function callOn(
  client: grpcfd.FdHttp2Client,
  text: string,
  sessionOf: () => http2.ClientHttp2Session,
): Promise<string> {
  using fds = grpcfd.callCredentials();
  const fd = fileWith(text);
  const { ref } = fds.sendFd(fd);
  closeSync(fd);
  const headers = { ':method': 'POST', ':path': '/a/b', 'content-type': 'application/grpc', [NAME]: ref };
  const stream = await client.call(fds, (more) =>
    sessionOf().request({ ...headers, ...more }, { endStream: true }),
  );
  stream.setEncoding('utf8');
  let answer = '';
  for await (const chunk of stream) answer += String(chunk);
  return answer;
}

test('descriptors go over the connection of the session that makes the call, also over an older one', async () => {
  const { address } = await serveContents();
  const client = grpcfd.http2Client(address);
  const [older, newer] = [
    await openSession(client.createConnection),
    await openSession(client.createConnection),
  ];
  assert.equal(await callOn(client, 'a', () => older), 'a');
  assert.equal(await callOn(client, 'b', () => newer), 'b');
  assert.equal(await callOn(client, 'c', () => older), 'c');
});

test('a session may be made in the turn in which it makes the call', async () => {
  const { address } = await serveContents();
  const client = grpcfd.http2Client(address);
  const connect = () => {
    const session = http2.connect('http://localhost', { createConnection: client.createConnection });
    defer(() => session.destroy());
    return session;
  };
  const session = connect();
  assert.equal(await callOn(client, 'before the call', () => session), 'before the call');
  assert.equal(await callOn(client, 'inside of it', connect), 'inside of it');
});

test('a session with a connection of its own, or of another client, is refused before anything is sent', async () => {
  const { address, counts } = await serveContents();
  const client = grpcfd.http2Client(address);
  await openSession(client.createConnection);
  const others = [
    await openSession(grpcfd.http2Client(address).createConnection),
    http2.connect('http://localhost', { path: address.slice('unix:'.length) }),
  ];
  for (const session of others) {
    defer(() => session.destroy());
    const error = await failure(callOn(client, 'a', () => session));
    assert.ok(error instanceof grpcfd.GrpcFdError, String(error));
    assert.equal(error.reason, 'ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT');
    assert.match(error.details, /give createConnection of this client to http2\.connect\(\)/);
    // It still serves calls of others.
    await once(session.request({ ':path': '/' }).resume(), 'close');
  }
  assert.equal(counts.requests, others.length);
});
