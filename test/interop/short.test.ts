/** A short form of the matrix; `npm run test:interop` runs all of it. */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { shortCells } from '../../interop/runner/matrix.js';
import { runMatrix } from '../../interop/runner/run-matrix.js';
import { findGo } from '../../interop/runner/toolchain.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';
import { useWorkplace, withoutGo, workplace } from './peers.js';

trackDescriptors();
useWorkplace();

test('This package and the Go package exchange files in every kind of call', {
  skip: withoutGo,
}, async () => {
  const rows = await runMatrix(shortCells(), workplace());
  assert.equal(rows.length, shortCells().length);
  assert.deepEqual(
    rows.filter(({ ok }) => !ok),
    [],
  );
});

/** Sets PATH to one directory with a `go` of that version in it. */
function installGo(version?: string): void {
  const directory = temporaryDirectory();
  if (version !== undefined) {
    writeFileSync(join(directory, 'go'), `#!/bin/sh\necho ${version}\n`);
    chmodSync(join(directory, 'go'), 0o755);
  }
  const { PATH } = process.env;
  process.env['PATH'] = directory;
  defer(() => {
    process.env['PATH'] = PATH;
  });
}

test('The toolchain check reports that Go is missing', async () => {
  installGo();
  assert.deepEqual(await findGo(), { missing: 'there is no go on the PATH' });
});

for (const version of ['go1.19.8', 'go1.25.11', 'go1.9']) {
  test(`The toolchain check refuses ${version} as too old`, async () => {
    installGo(version);
    assert.match(JSON.stringify(await findGo()), new RegExp(`asks for Go 1.26.*, and this is ${version}`));
  });
}

for (const version of ['go1.26.0', 'go1.26.8', 'go1.27rc1', 'go1.101']) {
  test(`The toolchain check accepts ${version}`, async () => {
    installGo(version);
    assert.deepEqual(await findGo(), { version });
  });
}
