/** A Go peer sees one additional metadata key of exact references, and ignores it. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import type { Reply } from '../../interop/node/protocol.js';
import type { Security } from '../../interop/node/security.js';
import { trackDescriptors } from '../support/fd-table.js';
import { fileWith } from '../support/temporary.js';
import { goServer, NodeClient, useWorkplace, withoutGo } from './peers.js';

trackDescriptors();
useWorkplace();

const SECURITIES: readonly Security[] = ['plaintext', 'tls', 'mtls'];
const RPCS = ['unary', 'clientStream', 'serverStream', 'bidi'] as const;
const EMPTY = { receiveMs: 1 };

/** Makes a call of that kind whose request asks for nothing. */
async function call(
  client: NodeClient,
  rpc: (typeof RPCS)[number],
  options: grpc.CallOptions,
): Promise<void> {
  const { stub, metadata } = client;
  const callback = (resolve: () => void, reject: (error: unknown) => void) => (error: unknown) =>
    error === null ? resolve() : reject(error);
  switch (rpc) {
    case 'unary':
      return new Promise((resolve, reject) =>
        stub.unary(EMPTY, metadata, options, callback(resolve, reject)),
      );
    case 'clientStream':
      return new Promise((resolve, reject) =>
        stub.clientStream(metadata, options, callback(resolve, reject)).end(EMPTY),
      );
    case 'serverStream':
      for await (const _ of stub.serverStream(EMPTY, metadata, options) as AsyncIterable<Reply>);
      return;
    case 'bidi': {
      const stream = stub.bidi(metadata, options);
      stream.end(EMPTY);
      for await (const _ of stream as AsyncIterable<Reply>);
    }
  }
}

for (const security of SECURITIES) {
  for (const rpc of RPCS) {
    test(`${security}, ${rpc}: Go sees one more metadata key, with and without descriptors`, {
      skip: withoutGo,
    }, async () => {
      const server = await goServer({ showMetadata: true });
      const client = new NodeClient(server.target(security), security);
      await call(client, rpc, {});
      const usual = (await server.metadataKeys()) ?? [];
      assert.ok(usual.includes('user-agent') && !usual.includes('grpcfd-fds'), String(usual));
      for (const files of [0, 3]) {
        using fds = grpcfd.callCredentials();
        const fd = fileWith('');
        for (let sent = 0; sent < files; sent++) fds.sendFd(fd);
        closeSync(fd);
        await call(client, rpc, fds.options());
        assert.deepEqual(await server.metadataKeys(), [...usual, 'grpcfd-fds'].sort());
      }
    });
  }
}
