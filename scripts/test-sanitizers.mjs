// npm run test:sanitizers [-- --short] [-- PART-OF-A-PATH …]: runs the tests that use the addon with one that AddressSanitizer and
// UndefinedBehaviorSanitizer watch. --short runs those of the addon alone. It is built in a copy, in build/sanitizers. Needs GCC with its
// sanitizers, and a build (npm run compile).
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SANITIZERS = '-fsanitize=address,undefined';
const SHORT = ['native/'];
/** The others do not load the addon, or have peers in Go (npm run test:interop). */
const ALL = [
  ...[...SHORT, 'socket/', 'descriptor/', 'inbox/', 'references/', 'internals/', 'grpc/'],
  ...['examples/', 'conformance/', 'model/', 'restarts/'],
];
/** For each test. The addon is several times slower, and so is what the tests compile and start. */
const TIMEOUT_MS = 600_000;

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
const copied = [
  'package.json',
  'README.md',
  'docs',
  'src',
  'dist',
  'scripts',
  'examples',
  'interop',
  'test',
  'bench',
];
for (const path of [...copied, 'build/test', 'build/interop', 'build/examples', 'build/bench']) {
  cpSync(join(root, path), join(workspace, path), { recursive: true });
}
for (const file of readdirSync(join(root, 'native')).filter((name) => name !== 'build')) {
  cpSync(join(root, 'native', file), join(workspace, 'native', file), { recursive: true });
}
symlinkSync(join(root, 'node_modules'), join(workspace, 'node_modules'));
run(process.execPath, ['native/build.mjs'], {
  CXXFLAGS: `${SANITIZERS} -g -O1 -fno-omit-frame-pointer`,
  LDFLAGS: SANITIZERS,
});

const wanted = process.argv.slice(2).filter((argument) => argument !== '--short');
const usual = process.argv.includes('--short') ? SHORT : ALL;
run(process.execPath, ['scripts/run-tests.mjs', ...(wanted.length > 0 ? wanted : usual)], {
  LD_PRELOAD: `${library('libasan.so')}:${library('libubsan.so')}`,
  // Node frees much only by ending.
  ASAN_OPTIONS: 'detect_leaks=0',
  UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
  GRPCFD_TEST_TIMEOUT_MS: String(TIMEOUT_MS),
});
