import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startFixture } from './support/child.js';
import { trackDescriptors } from './support/fd-table.js';
import { temporaryDirectory } from './support/temporary.js';

trackDescriptors();

for (const [fake, order] of [
  ['the global object', 'before'],
  ['the global object', 'after'],
  ['@sinonjs/fake-timers', 'after'],
  ['mock.timers', 'after'],
] as const) {
  test(`Calls, receives and shutdowns work with fake timers (${fake}) that are installed ${order} the import`, async () => {
    const args = [fake, order, temporaryDirectory()];
    const child = startFixture('grpc/fixtures/fake-timers.js', import.meta.url, args);
    // The fixture ends within half a second, or hangs.
    const patience = setTimeout(() => child.kill('SIGKILL'), 20_000);
    const [[code, signal], stdout, stderr] = await Promise.all([
      once(child, 'close'),
      child.stdout && text(child.stdout),
      child.stderr && text(child.stderr),
    ]);
    clearTimeout(patience);
    assert.deepEqual({ code, signal, stdout }, { code: 0, signal: null, stdout: 'passed\n' }, stderr ?? '');
  });
}

/** A call of a timer, of the global object or of a module. */
const CALL = /(?<![.#\w]|function )((?:set|clear)(?:Timeout|Interval|Immediate)|queueMicrotask)\(/g;
const ELSEWHERE =
  /process\.(nextTick|hrtime)|performance\.now|\bDate\b|globalThis\.|'node:(timers|perf_hooks)/;

test('No source file but timers.ts uses a timer or a clock of Node directly', () => {
  const src = fileURLToPath(new URL('../../src', import.meta.url));
  for (const file of readdirSync(src, { recursive: true, encoding: 'utf8' })) {
    // The tool is a program of its own, in which no test runner replaces anything.
    if (!file.endsWith('.ts') || file === 'timers.ts' || file.startsWith('cli/')) continue;
    const source = readFileSync(join(src, file), 'utf8');
    const [, imported = ''] = /import \{([^}]*)\} from '[./]+timers\.js'/.exec(source) ?? [];
    const names = new Set(imported.split(/[\s,]+/));
    const missing = [...source.matchAll(CALL)]
      .map(([, name = '']) => name)
      .filter((name) => !names.has(name));
    assert.deepEqual(missing, [], `${file} calls them without an import from timers.js`);
    assert.doesNotMatch(source, ELSEWHERE, file);
  }
});
