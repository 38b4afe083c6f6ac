import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const src = fileURLToPath(new URL('../../src', import.meta.url));
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
const sources = new Map(files.map((file) => [file, readFileSync(join(src, file), 'utf8')]));

/** Each layer may import itself and what stands before it; `client/` and `server/` are in one row, and may not import each other. */
const LAYERS = ['.', 'native', 'internals', 'socket', 'inbox', 'descriptor', 'grpc/internals', 'grpc'];
const INTERNALS = ['internals', 'grpc/internals'];
const TOP_LAYERS = ['grpc/client', 'grpc/server'];
const LEAVES = ['errors.ts', 'error-text.ts', 'checks.ts', 'timers.ts'];
const ENTRIES = ['index.ts', 'register.ts', 'socket/index.ts'];
/** The command line tool stands above the public entries, and uses no more of the package than they give. */
const TOOL = 'cli/';
/** Glue for frameworks. It has what a user has: the public names. */
const FRAMEWORKS = 'frameworks';

function importsOf(file: string): string[] {
  const found = sources.get(file)?.matchAll(/(?:from |import |import\()'(\.[^']*)\.js'/g) ?? [];
  return [...found].map(([, path = '']) => `${join(dirname(file), path)}.ts`);
}

function mayImport(from: string, to: string): boolean {
  if (dirname(from) === FRAMEWORKS) return ENTRIES.includes(to);
  if (dirname(to) === FRAMEWORKS) return false;
  if (to.startsWith(TOOL)) return from.startsWith(TOOL);
  if (from.startsWith(TOOL)) return ENTRIES.includes(to) || LEAVES.includes(to);
  if (ENTRIES.includes(from)) return !ENTRIES.includes(to);
  if (LEAVES.includes(to)) return true;
  if (LEAVES.includes(from) || ENTRIES.includes(to)) return false;
  const [layer, imported] = [dirname(from), dirname(to)];
  if (TOP_LAYERS.includes(layer)) return imported === layer || LAYERS.includes(imported);
  return LAYERS.indexOf(imported) >= 0 && LAYERS.indexOf(imported) <= LAYERS.indexOf(layer);
}

test('each source file imports only from its own layer and from those below it', () => {
  const wrong = files.flatMap((file) =>
    importsOf(file)
      .filter((imported) => !mayImport(file, imported))
      .map((imported) => `${file} imports ${imported}`),
  );
  assert.deepEqual(wrong, []);
});

test('the library does not import a framework: the glue alone does', () => {
  const imports = (file: string) =>
    [...(sources.get(file) ?? '').matchAll(/^(?:import|export|\}).* from '([^.'][^']*)';$/gm)].map(
      ([, name]) => name,
    );
  const ofTool = (file: string, name: string | undefined) =>
    file.startsWith(TOOL) && name === '@grpc/proto-loader';
  const allowed = (name: string | undefined) => name === '@grpc/grpc-js' || name?.startsWith('node:');
  const found = files
    .filter((file) => dirname(file) !== FRAMEWORKS)
    .flatMap((file) =>
      imports(file)
        .filter((name) => !allowed(name) && !ofTool(file, name))
        .map((name) => `${file} imports ${name}`),
    );
  assert.deepEqual(found, []);
});

test('no source files import each other in a circle', () => {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    assert.ok(!path.includes(file), `a circle: ${[...path, file].join(' → ')}`);
    if (done.has(file)) return;
    for (const imported of importsOf(file)) visit(imported, [...path, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
});

test('only the internals folders read properties that the types of Node and grpc-js do not have', () => {
  const HIDDEN = /\bhidden[<(]|Reflect\.(get|ownKeys)\(|\bas unknown as\b|\bas \{|[\w)]\[['"]_/;
  for (const file of files.filter((each) => !INTERNALS.includes(dirname(each)))) {
    const lines = (sources.get(file) ?? '')
      .split('\n')
      .filter((line) => !/^\s*(\/?\*|\/\/|type )/.test(line));
    assert.deepEqual(
      lines.filter((line) => HIDDEN.test(line) && !line.includes('ReturnType<')),
      [],
      file,
    );
  }
});

test('public entries only re-export, and say each name', () => {
  for (const file of ['index.ts', 'socket/index.ts']) {
    const code = sources.get(file)?.replace(/^\/\*\*.*?\*\//s, '');
    const rest = code?.replaceAll(/export (type )?\{[^}]*\} from '[^']*';/g, '');
    assert.equal(rest?.trim(), '', file);
  }
});

test('what can be imported can be required, and the other way round', async () => {
  const require = createRequire(import.meta.url);
  for (const entry of ['grpcfd', 'grpcfd/socket', 'grpcfd/nice', 'grpcfd/connect']) {
    const required = require(entry) as Record<string, unknown>;
    const imported = (await import(entry)) as Record<string, unknown>;
    assert.deepEqual(Object.keys(imported).sort(), Object.keys(required).sort(), entry);
    for (const name of Object.keys(required)) assert.equal(imported[name], required[name], name);
  }
});
