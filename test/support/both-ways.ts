/** A call that brings a descriptor, and whose reply brings another one. */
import assert from 'node:assert/strict';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import type { TestClient, TestHandlers } from './service.js';
import { contentOf, fileWith } from './temporary.js';

/** Answers with the content of the file that came, the name of the peer, and a file of the server's own. */
export const bothWays: TestHandlers = {
  unary: grpcfd.handler(async (call, fds) => {
    const content = contentOf(await fds.recvFd((call.request as unknown as Request).file));
    const file = fileWith(`reply to ${content}`);
    const { ref } = fds.sendFd(file);
    native.close(file);
    return { content, file: ref, peer: call.getPeer(), pid: process.pid };
  }),
};

interface Request {
  readonly file: string;
}

interface Reply extends Request {
  readonly content: string;
  readonly peer: string;
  readonly pid: number;
}

/** Fails unless both descriptors arrive. Returns the reply. */
export async function assertBothWays(client: TestClient, text = 'request'): Promise<Reply> {
  const fds = grpcfd.callCredentials();
  const file = fileWith(text);
  const { ref } = fds.sendFd(file);
  native.close(file);
  const reply = (await client.unary({ file: ref }, fds.options())) as unknown as Reply;
  assert.equal(reply.content, text);
  assert.equal(contentOf(await fds.recvFd(reply.file)), `reply to ${text}`);
  fds.close();
  return reply;
}
