// A client of the generic definitions, with nice-grpc.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import type { ChannelCredentials } from '@grpc/grpc-js';
import { callCredentials, channelCredentials } from 'grpcfd';
import { clientMiddleware, createChannel } from 'grpcfd/nice';
import { createClientFactory } from 'nice-grpc';
import { StoreDefinition } from './generated/nice-grpc/store.js';

export async function runNice(address: string, inner?: ChannelCredentials): Promise<void> {
  const channel = createChannel(address, channelCredentials(inner));
  const client = createClientFactory().use(clientMiddleware).create(StoreDefinition, channel);
  using fds = callCredentials();
  const { text } = await client.put({ file: fds.sendFilename('package.json', { flags: 'r' }).ref }, { fds });
  assert.equal(text, await readFile('package.json', 'utf8'));
  console.log('nice-grpc, put: the server read the file of the client');
  channel.close();
}
