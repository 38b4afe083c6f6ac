import assert from 'node:assert/strict';
import { cpSync, mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { listen } from 'grpcfd/socket';
import { refusal } from '#src/cli/doctor/address.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { bind, freshAddress, SECURITIES, shutDown, stockServerCredentials } from '../support/service.js';
import { temporaryDirectory } from '../support/temporary.js';
import { startProxy } from './proxy-process.js';
import { serveStore } from './store.js';
import { type ToolOptions, tool } from './tool.js';

trackDescriptors();

interface Finding {
  readonly subject: string;
  readonly state: string;
  readonly text: string;
  readonly todo?: string;
}

/** The findings by their subjects, and the exit code. */
async function examine(args: readonly string[] = [], options: ToolOptions = {}) {
  const { code, stdout, stderr } = await tool(['doctor', '--json', ...args], options);
  assert.equal(stderr, '');
  const { findings } = JSON.parse(stdout) as { findings: Finding[] };
  return { code, found: Object.fromEntries(findings.map((each) => [each.subject, each])) };
}

test('the doctor finds nothing wrong with this machine', async () => {
  const { code, found } = await examine();
  assert.equal(code, 0);
  assert.match(found['addon']?.text ?? '', /grpcfd\.node$/);
  assert.equal(found['Node.js']?.text, process.version);
  for (const subject of ['platform', 'kernel', 'grpc-js', 'RLIMIT_NOFILE', 'somaxconn', 'SO_PASSRIGHTS']) {
    assert.ok(found[subject], subject);
  }
});

test('an addon that cannot be loaded is a problem, with what to do', async () => {
  const { code, found } = await examine([], { env: { GRPCFD_ADDON: '/nowhere.node' } });
  assert.equal(code, 1);
  assert.equal(found['addon']?.state, 'problem');
  assert.match(found['addon']?.todo ?? '', /\/nowhere\.node/);
});

/** As far as the doctor looks at it. `modules` are below the temporary directory. */
function installCopy(directory: string, modules: string, name: string, manifest: string): string {
  const copy = join(directory, modules, name);
  mkdirSync(copy, { recursive: true });
  cpSync(fileURLToPath(new URL(`../../../${manifest}`, import.meta.url)), join(copy, 'package.json'));
  return copy;
}

test('two copies of this package in the tree are noted, with the folders of both', async () => {
  const directory = temporaryDirectory();
  const install = (modules: string) => installCopy(directory, modules, 'grpcfd', 'package.json');
  const copies = [install('node_modules')];
  assert.equal((await examine([], { cwd: directory })).found['copies'], undefined);
  copies.push(install('node_modules/library/node_modules'));
  const { code, found } = await examine([], { cwd: directory });
  assert.equal(code, 0);
  assert.equal(found['copies']?.state, 'note');
  for (const copy of copies) assert.ok(found['copies'].text.includes(copy), copy);
  assert.match(found['copies'].todo ?? '', /npm ls grpcfd/);
});

test('a second copy of grpc-js in the tree is a problem that names both', async () => {
  const directory = temporaryDirectory();
  const name = '@grpc/grpc-js';
  const manifest = `node_modules/${name}/package.json`;
  const copy = installCopy(directory, 'node_modules/other/node_modules', name, manifest);
  const { code, found } = await examine([], { cwd: directory });
  assert.equal(code, 1);
  assert.ok(found['grpc-js']?.text.includes(copy));
  assert.match(found['grpc-js']?.todo ?? '', /npm ls/);
});

test('a proxy in the environment is noted', async () => {
  const { code, found } = await examine([], { env: { http_proxy: 'http://localhost:1' } });
  assert.equal(code, 0);
  assert.match(found['http_proxy']?.text ?? '', /Unix sockets never go through it/);
});

for (const security of SECURITIES) {
  test(`${security}: a server of this package is recognised`, async () => {
    const { code, found } = await examine([await serveStore({ security })]);
    assert.match(found['listener']?.text ?? '', new RegExp(`^process ${process.pid},`));
    if (security === 'mutual TLS') {
      assert.match(found['HTTP/2']?.text ?? '', /speaks TLS|under TLS/);
      return;
    }
    assert.equal(code, 0);
    assert.match(found['HTTP/2']?.text ?? '', security === 'TLS' ? /under TLS \(TLSv1/ : /in plaintext/);
    assert.match(found['server']?.text ?? '', /^this package/);
    assert.equal(found['descriptors']?.state, 'ok');
  });

  // It would ask the doctor for a certificate, too.
  if (security === 'mutual TLS') continue;
  test(`${security}: a stock server is told apart`, async () => {
    const server = new grpc.Server();
    const address = freshAddress();
    await bind(server, address, await stockServerCredentials(security));
    defer(() => shutDown(server));
    const { code, found } = await examine([address]);
    assert.equal(code, 0);
    assert.match(found['server']?.text ?? '', /not this package/);
  });
}

test('what is no gRPC server, and what hangs up, is a problem', async () => {
  const address = freshAddress();
  const server = createServer((socket) => {
    socket.on('error', () => {}).resume();
    socket.end('220 hello\r\n');
  });
  await new Promise<void>((resolve) => server.listen(address.slice('unix:'.length), resolve));
  defer(() => new Promise((resolve) => server.close(resolve)));
  const { code, found } = await examine([address]);
  assert.equal(code, 1);
  assert.match(found['HTTP/2']?.text ?? '', /neither HTTP\/2 nor TLS/);
  assert.match(found['HTTP/2']?.todo ?? '', /or it is a proxy whose server is down$/);
  assert.equal(found['descriptors']?.state, 'problem');
});

test('who listens and answers nothing tells nothing of descriptors', async () => {
  // It takes all that comes, and closes when its peer does.
  const listener = await listen({ path: freshAddress().slice('unix:'.length) }, (socket) => {
    socket.on('error', () => {}).resume();
  });
  defer(() => listener.close());
  const { code, found } = await examine([`unix:${listener.address}`]);
  assert.equal(code, 1);
  assert.match(found['HTTP/2']?.text ?? '', /neither HTTP\/2 nor TLS/);
  assert.equal(found['descriptors']?.text, 'could not be tried: no call was answered');
});

for (const security of ['plaintext', 'TLS'] as const) {
  test(`${security}: the doctor leaves no trouble at a proxy before the server`, async () => {
    const proxy = await startProxy(await serveStore({ security }));
    const { code, found } = await examine([proxy.address]);
    assert.equal(code, 0);
    assert.match(found['server']?.text ?? '', /^this package/);
    assert.equal(found['descriptors']?.state, 'ok');
    const connections = security === 'TLS' ? 2 : 1;
    assert.equal((await proxy.after('close', connections)).length, connections);
    const descriptors = proxy.events.filter(({ event }) => event === 'descriptor');
    // A server of TLS gets none in plaintext: it would hang up before it has read which call is meant.
    assert.deepEqual(
      descriptors.map(({ connection, path }) => [connection, path]),
      [[connections, '/dev/null']],
    );
    const troubles = proxy.events.filter(
      ({ event, trouble }) => event === 'trouble' && /no call/.test(String(trouble)),
    );
    assert.deepEqual(troubles, []);
  });
}

test('a connection that is closed before a descriptor was sent tells nothing of descriptors', () => {
  for (const code of ['EPIPE', 'ECONNRESET', 'ECANCELED']) {
    const { state, text } = refusal(Object.assign(new Error(code), { code }));
    assert.deepEqual([state, text], ['problem', 'could not be tried: the connection was closed']);
  }
  assert.match(refusal(Object.assign(new Error('EPERM'), { code: 'EPERM' })).text, /kernel refuses .*EPERM/);
});

test('an address where nobody listens is a problem with advice', async () => {
  const listener = await listen({ path: freshAddress().slice('unix:'.length), unlinkOnClose: false });
  const { address } = listener;
  await listener.close();
  const { code, found } = await examine([`unix:${address}`]);
  assert.equal(code, 1);
  assert.match(found['connect']?.text ?? '', /ECONNREFUSED/);
  assert.match(found['connect']?.todo ?? '', /start the server/);
});

test('a server that refuses descriptors is a problem', async (t) => {
  const server = new grpcfd.Server();
  const address = freshAddress();
  await bind(server, address, grpcfd.serverCredentials(undefined, { acceptFds: false }));
  defer(() => shutDown(server));
  const { found } = await examine([address]);
  if (found['descriptors']?.state === 'ok') t.skip('this kernel has no SO_PASSRIGHTS');
  else assert.match(found['descriptors']?.text ?? '', /EPERM/);
});
