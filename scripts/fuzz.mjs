// npm run fuzz [-- --seconds N] [-- TARGET …]: gives random input to what parses the texts and messages of peers and of the kernel.
//
// native/fuzz has a target for each parser in C++, for libFuzzer, which follows the coverage. Each is compiled with AddressSanitizer and
// UndefinedBehaviorSanitizer into build/fuzz, starts from native/fuzz/seeds.mjs and from what it found before, and leaves an input that breaks
// it in build/fuzz. All together take about N seconds on two processors, 60 unless told otherwise. That needs Clang: `$CLANGXX`, or clang++.
// The target `parsers` is the tests of the parsers in TypeScript, with many runs. It needs a build (npm run compile).
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { languageFlags } from '../native/build.mjs';
import { SEEDS } from '../native/fuzz/seeds.mjs';

/** What of native/ each target uses. */
const TARGETS = {
  'control-data': ['control-data'],
  message: ['message', 'control-data'],
  'proc-lines': ['proc-lines'],
  'socket-name': ['socket-name'],
  'unix-address': ['unix-address', 'socket-name'],
  'diag-answer': ['diag-answer'],
  'directory-entries': ['directory-entries'],
};
const PARSERS = 'parsers';
/** For each property, for each second. */
const RUNS_PER_SECOND = 500;

const { values: options, positionals: wanted } = parseArgs({
  options: { seconds: { type: 'string', default: '60' } },
  allowPositionals: true,
});
const seconds = Number(options.seconds);
const all = [...Object.keys(TARGETS), PARSERS];
const unknown = wanted.find((target) => !all.includes(target));
if (unknown !== undefined || !(seconds > 0)) {
  console.error(`npm run fuzz -- --seconds N TARGET …, where TARGET is one of ${all.join(', ')}`);
  process.exit(2);
}

const root = fileURLToPath(new URL('..', import.meta.url));
const output = join(root, 'build/fuzz');
const compiler = process.env['CLANGXX'] ?? 'clang++';
const targets = wanted.length > 0 ? wanted : all;
const parallel = Math.min(availableParallelism(), targets.length);
const share = Math.max(1, Math.round((seconds * parallel) / targets.length));
const left = [...targets];
const failed = [];

async function work() {
  for (let target = left.shift(); target !== undefined; target = left.shift()) {
    const { code, text } = target === PARSERS ? await testParsers() : await fuzz(target);
    const outcome = text.match(/^Done .*$|^ℹ pass .*$/m)?.[0];
    console.log(`${target}: ${code === 0 ? outcome : 'FAILED'}`);
    if (code === 0) continue;
    failed.push(target);
    console.log(text);
  }
}

async function fuzz(target) {
  const corpus = join(output, 'corpus', target);
  const program = join(output, target);
  mkdirSync(corpus, { recursive: true });
  for (const seed of SEEDS[target]) {
    writeFileSync(join(corpus, createHash('sha1').update(seed).digest('hex')), seed);
  }
  const sources = [join('native/fuzz', target), ...TARGETS[target].map((name) => join('native', name))];
  const built = await run(compiler, [
    ...[...languageFlags(), '-I', 'native', '-g', '-O1', '-fno-omit-frame-pointer'],
    ...['-fsanitize=fuzzer,address,undefined', '-fno-sanitize-recover=all'],
    ...(target === 'message' ? ['-Wl,--wrap=close,--wrap=recvmsg'] : []),
    ...[...sources.map((source) => `${source}.cc`), '-o', program],
  ]);
  if (built.code !== 0) return built;
  const limits = ['-timeout=10', '-rss_limit_mb=1024', '-max_len=4400', `-max_total_time=${share}`];
  return run(program, [...limits, '-print_final_stats=0', `-artifact_prefix=${output}/${target}-`, corpus]);
}

function testParsers() {
  return run(process.execPath, ['scripts/run-tests.mjs', 'parsers'], {
    GRPCFD_FUZZ_RUNS: String(share * RUNS_PER_SECOND),
    GRPCFD_TEST_TIMEOUT_MS: String(share * 100_000),
  });
}

function run(command, args, environment = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        text += chunk;
      });
    }
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, text }));
  });
}

await Promise.all(Array.from({ length: parallel }, work));
process.exitCode = failed.length > 0 ? 1 : 0;
