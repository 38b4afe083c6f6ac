// npm run stress: compiles native/stress/*.cc and the threads of the addon with ThreadSanitizer, and runs them without Node.js, whose own
// code it does not know. Needs Clang: `$CLANGXX`, or clang++.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { languageFlags } from '../native/build.mjs';

/** What of native/ each program uses. */
const PROGRAMS = {
  closers: ['closers', 'detached-thread', 'stay-loaded', 'specimens', 'file-status', 'proc-lines'],
};

const root = fileURLToPath(new URL('..', import.meta.url));
const output = join(root, 'build/stress');
mkdirSync(output, { recursive: true });

for (const [name, parts] of Object.entries(PROGRAMS)) {
  const sources = [join('native/stress', name), ...parts.map((part) => join('native', part))];
  run(process.env['CLANGXX'] ?? 'clang++', [
    ...[...languageFlags(), '-I', 'native', '-g', '-O1', '-fsanitize=thread'],
    ...[...sources.map((source) => `${source}.cc`), '-ldl', '-o', join(output, name)],
  ]);
  run(join(output, name), []);
}

function run(command, args) {
  const env = { ...process.env, TSAN_OPTIONS: 'halt_on_error=1' };
  const { status, signal, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', env });
  if (status !== 0) throw error ?? new Error(`${command} ended with ${status ?? signal}`);
}
