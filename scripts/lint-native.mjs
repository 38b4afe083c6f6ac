// npm run lint:native [-- PART-OF-A-NAME …]: looks at the C++ with clang-tidy, which .clang-tidy tells what for. `$CLANG_TIDY` is the program.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { languageFlags } from '../native/build.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const program = process.env['CLANG_TIDY'] ?? 'clang-tidy';
const wanted = process.argv.slice(2);
const left = ['native', 'native/fuzz', 'native/stress']
  .flatMap((directory) => readdirSync(join(root, directory)).map((name) => join(root, directory, name)))
  .filter((path) => path.endsWith('.cc'))
  .filter((path) => wanted.length === 0 || wanted.some((part) => relative(root, path).includes(part)));
const count = left.length;
const started = Date.now();
let failed = 0;

async function look() {
  for (let path = left.shift(); path !== undefined; path = left.shift()) {
    const { code, text } = await tidy(path);
    if (code === 0) continue;
    failed++;
    console.log(text.trim());
  }
}

function tidy(path) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['--quiet', path, '--', ...languageFlags(), '-I', join(root, 'native')], {
      cwd: root,
      // It counts the warnings of others on standard error.
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    let complaint = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
    });
    child.stderr.on('data', (chunk) => {
      complaint += chunk;
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, text: code === 0 || text !== '' ? text : complaint }));
  });
}

await Promise.all(Array.from({ length: availableParallelism() }, look));
console.log(`${count} files, ${failed} with findings, ${Math.round((Date.now() - started) / 1000)} s`);
process.exitCode = failed > 0 ? 1 : 0;
