/** A server, in a process of its own, that waits for files of its clients that may never bring anything. */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as grpcfd from 'grpcfd';
import { sharedCertificates } from '../support/certificates.js';
import { failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { IDLE, sharedState } from '../support/idle.js';
import { dial, freshAddress, type Security, type TestClient } from '../support/service.js';
import { temporaryDirectory } from '../support/temporary.js';

interface State {
  readonly pool: boolean;
  readonly ends: readonly string[];
  readonly open: number;
}

class Server {
  readonly child: ChildProcess;
  readonly #exit: Promise<unknown>;

  constructor(child: ChildProcess) {
    this.child = child;
    this.#exit = once(child, 'exit');
    defer(async () => {
      child.kill('SIGKILL');
      await this.#exit;
    });
  }

  async state(): Promise<State> {
    this.child.send('state');
    const [state] = (await once(this.child, 'message')) as [State];
    assert.ok(state.pool, 'fs.promises.readFile of another file works');
    return state;
  }

  async until(holds: (state: State) => boolean): Promise<State> {
    for (;;) {
      const state = await this.state();
      if (holds(state)) return state;
    }
  }

  async exit(): Promise<void> {
    this.child.send('exit');
    await this.#exit;
  }
}

async function start(security: Security): Promise<{ server: Server; client: TestClient }> {
  const address = freshAddress();
  const child = fork(
    fileURLToPath(new URL('./fixtures/waiting-server.js', import.meta.url)),
    [address, security],
    { env: { ...process.env, ...(await sharedCertificates()), NODE_TEST_CONTEXT: undefined } },
  );
  const server = new Server(child);
  await once(child, 'message');
  return { server, client: await dial(address, { security }) };
}

function openEnds(kind: string): { out: number; into: number } {
  const ends = IDLE[kind]?.() ?? assert.fail();
  defer(() => closeSync(ends.out));
  return ends;
}

describe('A handler that waits for idle files', () => {
  trackDescriptors();

  const output = (): { fd: number; path: string } => {
    const path = join(temporaryDirectory(), 'output');
    const fd = openSync(path, 'w+');
    defer(() => closeSync(fd));
    return { fd, path };
  };

  for (const security of ['plaintext', 'TLS'] as const) {
    for (const by of ['refs', 'urls'] as const) {
      test(`ends with its calls, by ${by} under ${security}`, async () => {
        const { server, client } = await start(security);
        const before = await server.state();
        const kinds = Object.keys(IDLE);
        const uses = ['pipeline', 'readFile', 'read', 'forAwait'];
        const calls = Array.from({ length: 12 }, (_, index) => {
          const { out, into } = openEnds(kinds[index % kinds.length] ?? '');
          defer(() => closeSync(into));
          const state = sharedState(out);
          defer(() => assert.equal(sharedState(out), state));
          const fds = grpcfd.callCredentials();
          defer(() => fds.close());
          const names = fds[by]({ input: out, output: output().fd });
          const use = uses[Math.floor(index / 3) % uses.length];
          return failure(client.unary({ use, ...names }, fds.options({ deadline: Date.now() + 500 })));
        });
        await server.state();
        for (const error of await Promise.all(calls)) assert.equal((error as { code: number }).code, 4);
        const { ends } = await server.until((state) => state.ends.length === calls.length);
        assert.deepEqual(new Set(ends), new Set(['ERR_GRPCFD_CALL_ENDED']));
        client.grpc.close();
        await server.until(({ open }) => open <= before.open);
        await server.exit();
      });

      test(`gets all bytes when they come, by ${by} under ${security}`, async () => {
        const { server, client } = await start(security);
        for (const kind of ['pipe', 'socket', 'FIFO']) {
          for (const use of ['pipeline', 'readFile', 'forAwait']) {
            const { out, into } = openEnds(kind);
            const state = sharedState(out);
            const { fd } = output();
            const fds = grpcfd.callCredentials();
            const reply = client.unary({ use, ...fds[by]({ input: out, output: fd }) }, fds.options());
            await server.state();
            writeSync(into, `${kind} by ${use}`);
            closeSync(into);
            await reply;
            const memory = Buffer.alloc(100);
            const length = readSync(fd, memory, 0, 100, 0);
            assert.equal(memory.toString('utf8', 0, length), `${kind} by ${use}`);
            assert.equal(sharedState(out), state);
            fds.close();
          }
        }
        client.grpc.close();
        await server.exit();
      });
    }
  }

  test('ends what it left behind when its call ends, unless that has a file of its own', async () => {
    const { server, client } = await start('plaintext');
    const [first, second] = [openEnds('pipe'), openEnds('pipe')];
    const fds = grpcfd.callCredentials();
    const { call, reply } = client.clientStream(fds.options());
    call.write({ input: fds.sendFd(first.out).ref });
    call.write({ input: fds.sendFd(second.out).ref, keep: 'yes' });
    call.end();
    await reply;
    fds.close();
    await server.until(({ ends }) => ends.length === 1);
    writeSync(second.into, 'after the call');
    closeSync(first.into);
    closeSync(second.into);
    const { ends } = await server.until((state) => state.ends.length === 2);
    assert.deepEqual(ends, ['ERR_GRPCFD_CALL_ENDED', 'after the call']);
    client.grpc.close();
    await server.exit();
  });

  test('does not keep its process from exiting', async () => {
    const { server, client } = await start('plaintext');
    const { out, into } = openEnds('pipe');
    defer(() => closeSync(into));
    const calls = Array.from({ length: 8 }, () => {
      const fds = grpcfd.callCredentials();
      defer(() => fds.close());
      const names = fds.refs({ input: out, output: output().fd });
      return failure(client.unary({ use: 'pipeline', ...names }, fds.options()));
    });
    await server.state();
    await server.exit();
    await Promise.all(calls);
  });
});
