import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { closeAll, native } from '#src/native/binding.js';
import { trackDescriptors } from '../support/fd-table.js';
import { freshAddress } from '../support/service.js';
import { temporaryDirectory } from '../support/temporary.js';
import { within } from '../support/until.js';
import { PROTO, serveStore } from './store.js';
import { startTool, tool, toolInTerminal, withoutTerminal } from './tool.js';

trackDescriptors();

const SOON_MS = 20_000;

const manifest = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));

test('--version prints the version of the package', async () => {
  assert.deepEqual(await tool(['--version']), { code: 0, stdout: `${manifest.version}\n`, stderr: '' });
});

for (const args of [
  ['--help'],
  ['call', '--help'],
  ['proxy', '-h'],
  ['doctor', '--help'],
  ['help', 'call'],
]) {
  test(`grpcfd ${args.join(' ')} prints examples`, async () => {
    const { code, stdout, stderr } = await tool(args);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    assert.match(stdout, /grpcfd (call|proxy|doctor) /);
    for (const line of stdout.split('\n')) assert.ok(line.length <= 125, line);
  });
}

test('the help and docs/tool.md filter the lines of the proxy alike, and jq finds the trouble so', async () => {
  const { stdout } = await tool(['proxy', '--help']);
  const [command = '', filter = ''] = /jq '(.*)'/.exec(stdout) ?? [];
  assert.ok(readFileSync(new URL('../../../docs/tool.md', import.meta.url), 'utf8').includes(command));
  const lines = '{"event":"trouble","trouble":"x"}\n{"event":"close"}\n';
  const { error, stdout: found } = spawnSync('jq', ['-c', filter], { input: lines, encoding: 'utf8' });
  // A machine may have no jq.
  if (error === undefined) assert.equal(found, '{"event":"trouble","trouble":"x"}\n');
});

const WRONG: readonly (readonly [args: string, text: RegExp])[] = [
  ['', /a command is missing/],
  ['frob', /there is no command "frob"/],
  ['call', /call takes an address and a method/],
  ['call unix:/x Store/Put --frob', /'--frob': see grpcfd call --help$/m],
  ['proxy --frob', /'--frob': see grpcfd proxy --help$/m],
  ['call store.sock Store/Put --reflection', /"store\.sock" is not an address: unix:PATH/],
  ['call unix:/x Store/Put', /one of --proto FILE, --descriptor-set FILE and --reflection/],
  ['call unix:/x Store/Put --reflection --proto x', /one of --proto/],
  ['call unix:/x Put --reflection', /"Put" is not a method: write SERVICE\/METHOD, as in pkg/],
  ['call unix:/x Store/Put --reflection --send file', /--send takes FIELD=PATH/],
  ['call unix:/x Store/Put --reflection --send file=- --data -', /the standard input can be used once/],
  ['call unix:/x Store/Put --reflection --deadline soon', /--deadline takes a time/],
  ['call unix:/x Store/Put --reflection --cert x', /--cert and --key go together/],
  ['call unix:/x Store/Put --reflection --metadata x', /--metadata takes KEY=VALUE/],
  ['proxy --listen unix:/x', /proxy takes two addresses/],
  ['proxy --listen tcp:1 --to unix:/x', /"tcp:1" is not an address/],
  ['doctor unix:/x unix:/y', /doctor takes one address/],
];

for (const [args, message] of WRONG) {
  test(`wrong usage, in one line: grpcfd ${args}`, async () => {
    const { code, stdout, stderr } = await tool(args.split(' ').filter(Boolean));
    assert.deepEqual({ code, stdout }, { code: 64, stdout: '' });
    assert.match(stderr, message);
    assert.match(stderr, /^grpcfd: .*\n$/);
  });
}

test('a terminal gets colours, and NO_COLOR is honoured', { skip: withoutTerminal }, async () => {
  const args = ['doctor', freshAddress()];
  const coloured = await toolInTerminal(args);
  const plain = await toolInTerminal(args, { env: { NO_COLOR: '1' } });
  const piped = await tool(args);
  assert.deepEqual([coloured.code, plain.code, piped.code], [1, 1, 1]);
  assert.ok(coloured.stdout.includes('\x1b[31mPROBLEM\x1b[39m'));
  for (const { stdout } of [plain, piped]) {
    assert.ok(!stdout.includes('\x1b'));
    assert.match(stdout, /^PROBLEM {2}connect .*ENOENT/m);
  }
});

/** An option that has the tool run this code first. */
function withCode(code: string): NodeJS.ProcessEnv {
  const file = join(temporaryDirectory(), 'first.cjs');
  writeFileSync(file, code);
  return { NODE_OPTIONS: `--require ${file}` };
}

for (const [what, code] of [
  ['thrown in a callback', 'setTimeout(() => { throw new TypeError("odd\\nthing"); }, 300);'],
  ['rejected unheard of', 'setTimeout(() => void Promise.reject(new TypeError("odd\\nthing")), 300);'],
  ['thrown by a command', 'JSON.parse = () => { throw new TypeError("odd\\nthing"); };'],
] as const) {
  test(`what is ${what} ends the tool with one line and 70, and NODE_DEBUG=grpcfd shows its stack`, async () => {
    // It waits for its standard input, or parses the data at once.
    const data = what === 'thrown by a command' ? '--version' : 'call';
    const args =
      data === 'call' ? ['call', freshAddress(), 'store.Store/Put', '--proto', PROTO, '--data', '-'] : [data];
    const run = async (env: NodeJS.ProcessEnv) => {
      const child = startTool(args, { env });
      assert.ok(child.stderr !== null);
      const [stderr, [exit]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
      return { code: exit, stderr };
    };
    const line = 'grpcfd: internal error: odd thing\n';
    assert.deepEqual(await run(withCode(code)), { code: 70, stderr: line });
    const debugged = await run({ ...withCode(code), NODE_DEBUG: 'grpcfd' });
    assert.equal(debugged.code, 70);
    assert.ok(debugged.stderr.includes(line), debugged.stderr);
    assert.match(debugged.stderr, /TypeError: odd\nthing\n {4}at /);
  });
}

test('a reader that goes away ends the tool in silence', async () => {
  const child = startTool(['doctor']);
  child.stdout?.destroy();
  const [[code], stderr] = await Promise.all([
    once(child, 'close'),
    child.stderr === null ? '' : text(child.stderr),
  ]);
  assert.deepEqual({ code, stderr }, { code: 141, stderr: '' });
});

test('a long transfer shows its progress on a terminal', { skip: withoutTerminal }, async () => {
  const to = join(temporaryDirectory(), 'out');
  const [out, into] = native.testing.pipe();
  const args = ['call', await serveStore(), 'store.Store/Echo', '--proto', PROTO, '--send', 'file=fd:3'];
  const running = toolInTerminal([...args, '--receive', `file=${to}`], { inherited: [out] });
  await within(SOON_MS, 'the transfer', () => existsSync(to));
  for (let count = 0; count < 15; count++) {
    writeSync(into, 'x');
    await delay(100);
  }
  closeAll([out, into]);
  const { code, stdout } = await running;
  assert.equal(code, 0);
  assert.equal(statSync(to).size, 15);
  assert.match(stdout, /out: 0\.0 MB/);
});
