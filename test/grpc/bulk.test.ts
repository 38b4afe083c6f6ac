import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { defer, trackDescriptors } from '../support/fd-table.js';
import {
  bind,
  freshAddress,
  type Security,
  shutDown,
  stockChannelCredentials,
  stockServerCredentials,
} from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

const MESSAGE_BYTES = 64 * 1024;
const MESSAGES = 1600;
/** Every seventh message names a file. Seven is a prime, so that files fall on all places in HTTP/2 frames and TLS records. */
const FILE_EVERY = 7;

const same = (bytes: Buffer) => bytes;
const bulkService = {
  both: {
    path: '/grpcfd.test.Bulk/Both',
    requestStream: true,
    responseStream: true,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  },
} satisfies grpc.ServiceDefinition;

/** Bytes that differ at every position and are cheaper than random ones. */
const noise = Buffer.from(
  Uint32Array.from({ length: MESSAGE_BYTES / 2 }, (_, index) => Math.imul(index + 1, 2654435761)).buffer,
);

/** A message: the length of a file's name, the name, and noise. */
function messageWith(number: number, name: string): Buffer {
  const message = Buffer.from(
    noise.subarray(number % MESSAGE_BYTES, (number % MESSAGE_BYTES) + MESSAGE_BYTES),
  );
  message[0] = message.write(name, 1);
  return message;
}

async function sendAll(to: Writable, fds: grpcfd.FdTransceiver): Promise<string> {
  const hash = createHash('sha256');
  for (let number = 0; number < MESSAGES; number++) {
    let name = '';
    if (number % FILE_EVERY === 0) {
      const file = fileWith(`file ${number}`);
      name = fds.sendFd(file).url;
      closeSync(file);
    }
    const message = messageWith(number, name);
    hash.update(message);
    if (!to.write(message)) await once(to, 'drain');
  }
  return hash.digest('hex');
}

/** Reads all messages, and the files that they name; `pauseMs` makes a slow reader. */
async function receiveAll(from: Readable, fds: grpcfd.FdTransceiver, pauseMs: number): Promise<string> {
  const hash = createHash('sha256');
  let number = 0;
  // A call is a Duplex: it must stay open for writing after all has been read from it.
  for await (const chunk of from.iterator({ destroyOnReturn: false })) {
    const message = chunk as Buffer;
    hash.update(message);
    const length = message[0] ?? 0;
    if (length > 0) {
      assert.equal(contentOf(await fds.recvFd(message.toString('utf8', 1, 1 + length))), `file ${number}`);
    }
    number++;
    if (pauseMs > 0 && number % 100 === 0) await delay(pauseMs);
    if (number === MESSAGES) return hash.digest('hex');
  }
  throw new Error(`the stream ended after ${number} messages`);
}

const slowness = { 'a slow client': [20, 0], 'a slow server': [0, 20], 'fast readers': [0, 0] } as const;

for (const security of ['plaintext', 'mutual TLS'] satisfies Security[]) {
  for (const [name, [clientPauseMs, serverPauseMs]] of Object.entries(slowness)) {
    test(`${security}, ${name}: 100 MiB travel in both directions at the same time, with files between the messages`, async () => {
      const address = freshAddress();
      const checksums: Promise<[sent: string, received: string]>[] = [];
      const server = new grpcfd.Server();
      server.addService(bulkService, {
        both: grpcfd.handler(async (call: grpc.ServerDuplexStream<Buffer, Buffer>, fds) => {
          const both = Promise.all([sendAll(call, fds), receiveAll(call, fds, serverPauseMs)]);
          checksums.push(both);
          await both;
        }),
      });
      await bind(server, address, grpcfd.serverCredentials(await stockServerCredentials(security)));
      defer(() => shutDown(server));
      const connections: grpcfd.FdConnection[] = [];
      const credentials = grpcfd.channelCredentials(await stockChannelCredentials(security), {
        onConnection: (connection) => void connections.push(connection),
      });
      const client = new grpc.Client(address, credentials);
      defer(() => client.close());

      const fds = grpcfd.callCredentials();
      const call = client.makeBidiStreamRequest(bulkService.both.path, same, same, fds.options());
      const ended = once(call, 'status');
      const [sent, received] = await Promise.all([sendAll(call, fds), receiveAll(call, fds, clientPauseMs)]);
      call.end();
      const [status] = await ended;
      assert.equal(status.code, grpc.status.OK);
      const [[serverSent, serverReceived] = []] = await Promise.all(checksums);
      assert.equal(received, serverSent);
      assert.equal(serverReceived, sent);
      const [stats] = connections.map((connection) => connection.stats());
      const files = Math.ceil(MESSAGES / FILE_EVERY);
      assert.equal(stats?.sentFds, files);
      assert.equal(stats?.receivedFds, files);
      assert.equal(stats?.pendingFds, 0);
      fds.close();
    });
  }
}
