// npm run test:sanitizers [-- PART-OF-A-PATH …]: runs tests with an addon that AddressSanitizer and UndefinedBehaviorSanitizer watch,
// those of the addon and of what lies right above it unless told otherwise. It is built in a copy, in build/sanitizers. Needs GCC with
// its sanitizers, and a build (npm run compile).
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SANITIZERS = '-fsanitize=address,undefined';
const USUAL_TESTS = ['native/', 'socket/'];

const root = fileURLToPath(new URL('..', import.meta.url));
const workspace = join(root, 'build/sanitizers');

function run(command, args, env) {
  const options = { cwd: workspace, stdio: 'inherit', env: { ...process.env, ...env } };
  const { status, error } = spawnSync(command, args, options);
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

function library(name) {
  const path = execFileSync('gcc', [`-print-file-name=${name}`], { encoding: 'utf8' }).trim();
  if (!existsSync(path)) throw new Error(`GCC has no ${name} here`);
  return path;
}

rmSync(workspace, { recursive: true, force: true });
mkdirSync(join(workspace, 'build'), { recursive: true });
mkdirSync(join(workspace, 'native'));
const copied = ['package.json', 'README.md', 'docs', 'src', 'dist', 'scripts', 'examples', 'interop', 'test'];
for (const path of [...copied, 'build/test', 'build/interop', 'build/examples']) {
  cpSync(join(root, path), join(workspace, path), { recursive: true });
}
for (const file of readdirSync(join(root, 'native')).filter((name) => name !== 'build')) {
  cpSync(join(root, 'native', file), join(workspace, 'native', file));
}
symlinkSync(join(root, 'node_modules'), join(workspace, 'node_modules'));
run(process.execPath, ['native/build.mjs'], {
  CXXFLAGS: `${SANITIZERS} -g -O1 -fno-omit-frame-pointer`,
  LDFLAGS: SANITIZERS,
});

const wanted = process.argv.slice(2);
run(process.execPath, ['scripts/run-tests.mjs', ...(wanted.length > 0 ? wanted : USUAL_TESTS)], {
  LD_PRELOAD: `${library('libasan.so')}:${library('libubsan.so')}`,
  // Node frees much only by ending.
  ASAN_OPTIONS: 'detect_leaks=0',
  UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
});
