// The command line tool of the tarball: npx grpcfd.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { npmFile, run, runAnyway } from './environment.mjs';
import { plainProject, project } from './projects.mjs';

const PROTO =
  'syntax = "proto3"; package store; message M { string file = 1; } service Store { rpc Put(M) returns (M); }';
const CALL = ['call', 'unix:nobody.sock', 'store.Store/Put', '--proto', 'store.proto'];

/** npm, with the arguments of npx. */
const npx = (args, options) =>
  run(process.execPath, [npmFile(), 'exec', '--offline', '--', 'grpcfd', ...args], options);

async function doctor() {
  const cwd = await plainProject();
  const { stdout } = await npx(['doctor', '--json'], { cwd });
  const { findings } = JSON.parse(stdout);
  const found = Object.fromEntries(findings.map((each) => [each.subject, each]));
  assert.match(found.addon.text, /node_modules\/grpcfd\/(prebuilds|native)\/.*grpcfd\.node$/);
  assert.deepEqual(
    findings.filter(({ state }) => state === 'problem'),
    [],
  );
  const { stdout: version } = await npx(['--version'], { cwd });
  return `npx grpcfd doctor of ${version.trim()} finds no problem`;
}

/** The project is copied out of the repository, whose own packages Node.js would find in the folders above. */
async function without(name) {
  const cwd = mkdtempSync(join(tmpdir(), 'grpcfd-tool-'));
  try {
    cpSync(await plainProject(), cwd, { recursive: true, verbatimSymlinks: true });
    rmSync(join(cwd, 'node_modules', name), { recursive: true });
    const { code, stderr } = await runAnyway(join(cwd, 'node_modules/.bin/grpcfd'), CALL, { cwd });
    assert.equal(code, 69, stderr);
    assert.ok(stderr.startsWith(`grpcfd: the package ${name} is not installed.`), stderr);
    assert.match(stderr, /npx -p grpcfd -p @grpc\/grpc-js -p @grpc\/proto-loader grpcfd …\n$/);
  } finally {
    rmSync(cwd, { recursive: true });
  }
  return 'call names the command that installs it';
}

/** grpc-js brings the loader with it. */
async function call() {
  const cwd = await project('tool');
  writeFileSync(join(cwd, 'store.proto'), PROTO);
  const { code, stderr } = await runAnyway(join(cwd, 'node_modules/.bin/grpcfd'), CALL, { cwd });
  assert.equal(code, 14, stderr);
  assert.match(stderr, /^grpcfd: UNAVAILABLE: .*nobody\.sock/);
  return 'call reaches for the server';
}

const CHECKS = {
  doctor,
  call,
  'no proto-loader': () => without('@grpc/proto-loader'),
  'no grpc-js': () => without('@grpc/grpc-js'),
};

export const rows = Object.entries(CHECKS).map(([environment, work]) => ({
  subject: 'tool',
  environment,
  short: true,
  work,
}));
