/** The tool and Go processes with the real Go package. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { shortCells } from '../../interop/runner/matrix.js';
import { runMatrix } from '../../interop/runner/run-matrix.js';
import { goServer, useWorkplace, withoutGo, workplace } from '../interop/peers.js';
import { trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';
import { tool } from './tool.js';

trackDescriptors();
useWorkplace();

const PROTO = fileURLToPath(new URL('../../../interop/proto/interop.proto', import.meta.url));
const METHOD = 'grpcfd.interop.v1.Exchange/Unary';

const SOURCES: Readonly<Record<string, readonly string[]>> = {
  'a .proto file': ['--proto', PROTO],
  reflection: ['--reflection'],
};

for (const [name, source] of Object.entries(SOURCES)) {
  test(`call sends a file to a Go server by its URL, by ${name}`, { skip: withoutGo }, async () => {
    const server = await goServer();
    const path = join(temporaryDirectory(), 'file');
    writeFileSync(path, 'the evidence');
    const data = { files: [{ kind: 'UNLINKED', evidence: 'the evidence' }], receive_ms: 20_000 };
    const { code, stdout, stderr } = await tool([
      ...['call', server.target('plaintext'), METHOD, ...source, '--url', '--data', JSON.stringify(data)],
      ...['--send', `files.url=${path}`],
    ]);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    assert.deepEqual(JSON.parse(stdout), { outcome: { received: 1 } });
  });
}

test('call receives files from a Go server', { skip: withoutGo }, async () => {
  const server = await goServer();
  const { code, stdout } = await tool([
    ...['call', server.target('plaintext'), METHOD, '--proto', PROTO, '--receive', 'files.url'],
    ...['--data', '{"order":{"kind":"MEMFD","count":3}}'],
  ]);
  assert.equal(code, 0);
  const { received, message } = JSON.parse(stdout);
  assert.deepEqual(
    received.map(({ kind, name }: { kind: string; name: string }) => ({ kind, name })),
    message.files.map(({ url }: { url: string }) => ({ kind: 'memfd', name: url })),
  );
  assert.equal(received.length, 3);
});

test('TLS to a Go server', { skip: withoutGo }, async () => {
  const server = await goServer();
  const { code, stdout } = await tool([
    ...['call', server.target('tls'), METHOD, '--proto', PROTO, '--receive', 'files.url'],
    ...['--ca', join(workplace().certs, 'ca.pem'), '--metadata', 'authorization=Bearer interop'],
    ...['--data', '{"order":{"kind":"MEMFD","count":1}}'],
  ]);
  assert.equal(code, 0);
  assert.equal(JSON.parse(stdout).received.length, 1);
});

test('the doctor tells a Go server from this package', { skip: withoutGo }, async () => {
  const server = await goServer();
  const { code, stdout } = await tool(['doctor', server.target('plaintext')]);
  assert.equal(code, 0);
  assert.match(stdout, /a gRPC server that is not this package/);
});

test('files travel through the proxy in every kind of call', { skip: withoutGo }, async () => {
  const rows = await runMatrix(shortCells(), workplace(), undefined, { throughProxy: true });
  assert.equal(rows.length, shortCells().length);
  assert.deepEqual(
    rows.filter(({ ok }) => !ok),
    [],
  );
});
