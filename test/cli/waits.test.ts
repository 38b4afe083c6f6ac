/** What `grpcfd call` waits for: `--deadline`, Ctrl-C, and files that cannot be read. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { closeAll, native } from '#src/native/binding.js';
import { eventsOf } from '../support/events.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';
import { within } from '../support/until.js';
import { PROTO, serveStore } from './store.js';
import { startTool, tool } from './tool.js';

trackDescriptors();

const SOON_MS = 20_000;
const O_PATH = 0o10000000;

function fifo(): string {
  const path = join(temporaryDirectory(), 'fifo');
  execFileSync('mkfifo', [path]);
  return path;
}

function file(content: string): string {
  const path = join(temporaryDirectory(), 'file');
  writeFileSync(path, content);
  return path;
}

const args = async (method: string, ...more: string[]) => [
  ...['call', await serveStore(), `store.Store/${method}`, '--proto', PROTO],
  ...more,
];

/** Runs the tool with a standard input that stays open. */
async function withOpenInput(given: readonly string[], inherited: readonly number[] = []) {
  const child = startTool(given, { inherited });
  defer(() => void child.stdin?.destroy());
  child.stdin?.on('error', () => {});
  assert.ok(child.stderr !== null && child.stdout !== null);
  const stderr = text(child.stderr);
  child.stdout.resume();
  const [code] = (await once(child, 'exit')) as [number | null];
  return { code, stderr: await stderr };
}

const passed = (what: string) =>
  new RegExp(
    `^grpcfd: DEADLINE_EXCEEDED: the deadline of 700 ms has passed, and the tool still waits for ${what}\\n$`,
  );

const DEADLINE = ['--deadline', '700ms'];

test('a descriptor of O_PATH of a FIFO is not waited for: the tool says that it cannot be read', async () => {
  const [path, to] = [fifo(), join(temporaryDirectory(), 'out')];
  const fd = openSync(path, O_PATH);
  defer(() => closeSync(fd));
  // Echo sends back what came.
  const given = await args('Echo', '--send', 'file=fd:3', '--receive', `file=${to}`);
  const { code, stderr } = await tool(given, { inherited: [fd] });
  assert.equal(code, 74, stderr);
  assert.match(
    stderr,
    /^grpcfd: file cannot be written to .*: a descriptor of the kind pipe \(path\) was opened with O_PATH, .*\n$/,
  );
});

test('a descriptor that is open to write alone is refused, and no file is made', async () => {
  const [out, into] = native.testing.pipe();
  defer(() => closeAll([out, into]));
  const path = join(temporaryDirectory(), 'out');
  const given = await args('Echo', '--send', 'file=fd:3', '--receive', `file=${path}`);
  const { code, stderr } = await tool(given, { inherited: [into] });
  assert.equal(code, 74, stderr);
  assert.match(stderr, /a descriptor of the kind pipe \(write\) cannot be read\n$/);
  assert.throws(() => readFileSync(path), { code: 'ENOENT' });
});

test('the deadline ends the wait for a standard input that stays open', async () => {
  const one = await withOpenInput(await args('Put', '--data', '-', ...DEADLINE));
  assert.match(one.stderr, passed('the end of the standard input \\(--data -\\)'));
  assert.equal(one.code, 4);
});

test('the deadline ends a stream of requests whose standard input stays open', async () => {
  const child = startTool(await args('Echo', '--data', '-', ...DEADLINE));
  defer(() => void child.stdin?.destroy());
  child.stdin?.write('{"display_name":"first"}\n');
  assert.ok(child.stderr !== null && child.stdout !== null);
  const [stderr, stdout, [code]] = await Promise.all([
    text(child.stderr),
    text(child.stdout),
    once(child, 'exit') as Promise<[number | null]>,
  ]);
  assert.equal(stdout, '{"text":"first: none"}\n');
  assert.match(stderr, passed('the end of the standard input \\(--data -\\)'));
  assert.equal(code, 4);
});

test('the deadline ends the wait for a FIFO that is read for the data', async () => {
  const path = fifo();
  const { code, stderr } = await tool(await args('Put', '--data', `@${path}`, ...DEADLINE));
  assert.match(stderr, passed(`the end of the FIFO ${path}`));
  assert.equal(code, 4);
});

test('the deadline ends the wait for a FIFO without a reader that is written to', async () => {
  const path = fifo();
  const given = await args('Put', '--send', `file=${file('x')}`, '--receive', `file=${path}`, ...DEADLINE);
  const { code, stderr } = await tool(given);
  assert.match(stderr, passed(`a reader of the FIFO ${path}`));
  assert.equal(code, 4);
});

for (const target of ['a file', 'stdout'] as const) {
  test(`the deadline ends the writing of a received pipe that stays open to ${target}`, async () => {
    const [out, into] = native.testing.pipe();
    defer(() => closeAll([out, into]));
    const to = target === 'stdout' ? '-' : join(temporaryDirectory(), 'out');
    const given = await args('Echo', '--send', 'file=fd:3', '--receive', `file=${to}`, ...DEADLINE);
    const { code, stderr } = await tool(given, { inherited: [out] });
    assert.match(stderr, passed(`the content of file, which goes to ${to === '-' ? 'stdout' : to}`));
    assert.equal(code, 4);
  });
}

test('the deadline ends the writing of a file without an end to a reader that does not read', async () => {
  const given = await args('Echo', '--send', 'file=/dev/zero', '--receive', 'file=-', ...DEADLINE);
  const child = startTool(given);
  defer(() => void child.stdout?.destroy());
  assert.ok(child.stderr !== null);
  const [stderr, [code]] = await Promise.all([
    text(child.stderr),
    once(child, 'exit') as Promise<[number | null]>,
  ]);
  assert.match(stderr, passed('the content of file, which goes to stdout'));
  assert.equal(code, 4);
});

test('a FIFO gets what is received when it has a reader', async () => {
  const path = fifo();
  const content = 'x'.repeat(300_000);
  const given = await args('Put', '--send', `file=${file(content)}`, '--receive', `file=${path}`);
  const running = tool(given);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  defer(() => closeSync(reader));
  const buffer = Buffer.alloc(content.length);
  let length = 0;
  await within(SOON_MS, 'the content', () => {
    try {
      length += readSync(reader, buffer, length, buffer.length - length, null);
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
    }
    return length === content.length;
  });
  const { code, stderr } = await running;
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  assert.equal(buffer.toString(), content);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} ends the tool while it waits for a reader of a FIFO, and no deadline is given`, async () => {
    const path = fifo();
    const sent = eventsOf('grpcfd:fd:sent');
    const child = startTool(await args('Put', '--send', `file=${file('x')}`, '--receive', `file=${path}`));
    await within(SOON_MS, 'the reply', () => sent.length > 0);
    child.kill(signal);
    assert.deepEqual(await once(child, 'exit'), [null, signal]);
  });
}
