// npm run test:frameworks [-- NAME …] [-- --tarball FILE]: copies each project of examples/frameworks/ into build/test-frameworks/, puts the
// tarball in place of grpcfd, runs the command that its README tells, and compares what it prints with what the README shows. Without
// --tarball it makes the tarball, with the addon of this machine.
import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, run } from './test-package/environment.mjs';
import { npm, tarball, useTarball } from './test-package/projects.mjs';

const examples = join(root, 'examples/frameworks');
/** What a user who has run the example there has beside its files. */
const IGNORED = /(^|\/)(node_modules|build|generated|package-lock\.json|[^/]*\.sock)$/;

const { values, positionals } = parseArgs({
  options: { tarball: { type: 'string' } },
  allowPositionals: true,
});
if (values.tarball === undefined) await npm(['run', '--silent', 'package'], { cwd: root, path: 'system' });
else useTarball(values.tarball);

const names = positionals.length > 0 ? positionals : readdirSync(examples);
for (const name of names) {
  const start = performance.now();
  try {
    await tryOut(name);
    console.log(`ok      ${name}: ${Math.round((performance.now() - start) / 1000)} s`);
  } catch (error) {
    console.log(`failed  ${name}: ${error.message}`);
    process.exitCode = 1;
  }
}

async function tryOut(name) {
  const project = join(root, 'build/test-frameworks', name);
  rmSync(project, { recursive: true, force: true });
  cpSync(join(examples, name), project, { recursive: true, filter: (path) => !IGNORED.test(path) });
  const manifest = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'));
  assert.match(manifest.dependencies.grpcfd, /^\^\d/, 'it depends on the released package');
  manifest.dependencies.grpcfd = `file:${tarball()}`;
  writeFileSync(join(project, 'package.json'), JSON.stringify(manifest, null, 2));
  const readme = readFileSync(join(project, 'README.md'), 'utf8');
  const [, command, output] = /```sh\n(.*?)\n```\n.*?```text\n(.*?)```/s.exec(readme) ?? [];
  assert.ok(command !== undefined && !command.includes('\n'), 'its README has one command and its output');
  // npm takes what it has downloaded before.
  const env = { npm_config_prefer_offline: 'true', npm_config_audit: 'false', npm_config_fund: 'false' };
  const { stdout } = await run('/bin/sh', ['-c', command], { cwd: project, env, path: 'system' });
  assert.ok(stdout.endsWith(output), `it does not print what its README shows, but\n${stdout}`);
}
