// Runs the compiled tests with the node binary that runs this script: npm test [-- PART-OF-A-PATH …]
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const directory = fileURLToPath(new URL('../build/test', import.meta.url));
const wanted = process.argv.slice(2);
const files = readdirSync(directory, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.js'))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .map((file) => join(directory, file));
if (files.length === 0) {
  console.error(`no test file matches ${wanted.join(' ')}`);
  process.exit(1);
}

const { status } = spawnSync(
  process.execPath,
  [
    '--expose-gc',
    '--test',
    `--test-timeout=${process.env['GRPCFD_TEST_TIMEOUT_MS'] ?? 120_000}`,
    '--test-reporter=spec',
    ...files.sort(),
  ],
  {
    stdio: 'inherit',
  },
);
process.exit(status ?? 1);
