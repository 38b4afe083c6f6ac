// The kernel counts, for each user, the descriptors that were sent and that nobody has read yet.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, closeSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { RawPeer } from '../support/bridged.js';
import { runFixture, startFixture } from '../support/child.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { callHeaders, message, PREFACE, settings, windowUpdate } from '../support/http2-frames.js';
import { dial, freshAddress, type TestClient, testService } from '../support/service.js';

trackDescriptors();

const skip = process.getuid?.() !== 0 && 'only root can start processes of other users';

/** Nobody else uses these, and no two tests one of them: the kernel counts for all processes of a user. */
const UIDS = { attacked: 54_322, honest: 54_323 };

/** A server of another user, in a process of its own. */
async function serveAs(uid: number): Promise<string> {
  const address = freshAddress();
  chmodSync(dirname(address.slice('unix:'.length)), 0o755);
  const server = startFixture('fixtures/unprivileged-server.js', import.meta.url, [address, String(uid)]);
  defer(async () => {
    const ended = once(server, 'close');
    server.kill('SIGKILL');
    await ended;
  });
  assert.ok(server.stdout);
  await once(server.stdout, 'data');
  return address;
}

const ATTACKERS = 6;
const DESCRIPTORS = 64;
const ATTACKS = 40;

/** Asks for descriptors again and again, and reads none. */
class Attacker {
  readonly #peer: RawPeer;
  #streamId = 1;

  constructor(address: string) {
    this.#peer = new RawPeer(native.connectUnix(Buffer.from(address.slice('unix:'.length))));
    this.#peer.send(Buffer.concat([PREFACE, settings(), windowUpdate(0, 2 ** 30)]));
  }

  ask(): void {
    const request = [
      callHeaders(this.#streamId, testService.unary.path),
      message(this.#streamId, { count: DESCRIPTORS }),
    ];
    this.#peer.send(Buffer.concat(request));
    this.#streamId += 2;
  }

  stop(): void {
    this.#peer.close();
  }
}

async function receive(client: TestClient, calls: number): Promise<void> {
  for (let call = 0; call < calls; call++) {
    using fds = grpcfd.callCredentials();
    const { refs } = await client.unary({ count: 60 }, fds.options({ deadline: Date.now() + 2_000 }));
    for (const ref of refs as string[]) closeSync(await fds.recvFd(ref));
  }
}

test('clients that read none of many descriptors cost nobody else theirs', { skip }, async () => {
  const address = await serveAs(UIDS.attacked);
  const bystander = await dial(address);
  await receive(bystander, 1);
  const attackers = Array.from({ length: ATTACKERS }, () => new Attacker(address));
  for (let attack = 0; attack < ATTACKS; attack++) {
    for (const attacker of attackers) attacker.ask();
    await receive(bystander, 1);
  }
  // Another connection, which comes while the attack goes on.
  await receive(await dial(address, { clientOptions: { 'grpc.use_local_subchannel_pool': 1 } }), 20);
  for (const attacker of attackers) attacker.stop();
  await receive(bystander, 20);
});

test('two peers that send each other more descriptors than their user may have in flight both go on', {
  skip,
}, async () => {
  const address = await serveAs(UIDS.honest);
  const args = [address, String(UIDS.honest), '100', '6', '60'];
  const client = await runFixture('fixtures/unprivileged-client.js', import.meta.url, args, {}, 30_000);
  assert.deepEqual(client, { code: 0, signal: null, stdout: 'passed\n', stderr: '' });
});
