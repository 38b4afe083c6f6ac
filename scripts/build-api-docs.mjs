// Makes docs/api/ from the doc comments: npm run docs. A warning of typedoc is an error.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const cwd = fileURLToPath(new URL('api-docs', import.meta.url));

function run(command, args) {
  const { status } = spawnSync(command, args, { cwd, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

if (!existsSync(`${cwd}/node_modules/typedoc`)) run('npm', ['ci', '--silent']);
run(process.execPath, ['node_modules/typedoc/bin/typedoc', '--logLevel', 'Warn']);
