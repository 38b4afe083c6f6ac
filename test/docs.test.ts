import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const dist = join(root, 'dist');
const text = (path: string) => readFileSync(join(root, path), 'utf8');

interface Documented {
  readonly name: string;
  /** The first line of its declaration. */
  readonly line: string;
  readonly comment: string | undefined;
}

/** The declarations that `entry` exports, from the compiled declarations, which have neither private nor internal members. */
function exportsOf(
  entry: string,
): { readonly declared: Documented; readonly members: readonly Documented[] }[] {
  const source = readFileSync(join(dist, entry), 'utf8');
  return [...source.matchAll(/export (?:type )?\{([^}]*)\} from '([^']*)\.js'/g)].flatMap(
    ([, names = '', path = '']) => {
      const lines = readFileSync(join(dist, dirname(entry), `${path}.d.ts`), 'utf8').split('\n');
      return names
        .split(',')
        .map((name) => name.trim().replace(/^type /, ''))
        .filter((name) => name !== '')
        .flatMap((name) => declarationsOf(name, lines));
    },
  );
}

function declarationsOf(name: string, lines: readonly string[]) {
  const declaration = new RegExp(
    `^(?:export )?(?:declare )?(?:class|interface|type|function|const) ${name}\\b`,
  );
  const found = lines.flatMap((line, index) => (declaration.test(line) ? [index] : []));
  assert.notEqual(found.length, 0, name);
  return found.map((start) => {
    const end = lines.findIndex(
      (line, index) => index >= start && /^\}?[^ ]*;?$|;$/.test(line) && !line.startsWith(' '),
    );
    const hasMembers = /\b(class|interface)\b/.test(lines[start] ?? '');
    const members = lines
      .slice(start + 1, hasMembers ? end : start)
      .flatMap((line, index) => (/^ {4}(?! |\/?\*|#private|\})/.test(line) ? [start + 1 + index] : []))
      .map((index) => documented(lines, index));
    return { declared: documented(lines, start, name), members };
  });
}

function documented(lines: readonly string[], index: number, name?: string): Documented {
  const line = lines[index] ?? '';
  const member = /^ +(?:readonly |static |get |override )*([\w$]+|\[[^\]]*\])/.exec(line)?.[1] ?? line;
  let first = index;
  if (lines[index - 1]?.trim().endsWith('*/')) {
    do first--;
    while (!lines[first]?.trim().startsWith('/**'));
  }
  return {
    name: name ?? member,
    line,
    comment: first < index ? lines.slice(first, index).join('\n') : undefined,
  };
}

const EXPORTS = ['index.d.ts', 'socket/index.d.ts'].flatMap(exportsOf);

/** Documented where they are declared: the methods of every FdTransceiver, and those of grpc.CallCredentials. */
const INHERITED = new Set(['generateMetadata', 'compose', '_equals']);
for (const { declared, members } of EXPORTS) {
  if (declared.name === 'FdTransceiver') for (const { name } of members) INHERITED.add(name);
}

test('every export and every public member has a doc comment', () => {
  const missing = EXPORTS.flatMap(({ declared, members }) => [
    ...(declared.comment === undefined ? [declared.name] : []),
    ...members
      .filter(
        ({ name, comment }) =>
          comment === undefined && !(declared.name === 'FdCallCredentials' && INHERITED.has(name)),
      )
      .map(({ line }) => `${declared.name}: ${line.trim()}`),
  ]);
  assert.deepEqual(missing, []);
  assert.ok(
    EXPORTS.length > 40 && EXPORTS.flatMap(({ members }) => members).length > 120,
    `the search found too few: ${EXPORTS.length}`,
  );
});

const OPTIONS = EXPORTS.filter(({ declared }) => declared.name.endsWith('Options')).flatMap(
  ({ declared, members }) => members.map((member) => ({ owner: declared.name, ...member })),
);

test('every option that can be left out has a default in its comment', () => {
  const missing = OPTIONS.filter(
    ({ line, comment }) => line.includes('?:') && !/\b[Dd]efault/.test(comment ?? ''),
  );
  assert.deepEqual(
    missing.map(({ owner, name }) => `${owner}.${name}`),
    [],
  );
});

test('docs/errors.md names every option that can be wrong, and every warning code', () => {
  const errors = text('docs/errors.md');
  const names = new Set(OPTIONS.map(({ name }) => name).filter((name) => name !== 'credentials'));
  for (const file of readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts')) continue;
    for (const [, code = ''] of text(join('src', file)).matchAll(/code: '(GRPCFD_\w+)'/g)) names.add(code);
  }
  assert.ok(names.has('GRPCFD_UNCLOSED') && names.has('holdMs') && names.has('highWaterMark'));
  assert.deepEqual(
    [...names].filter((name) => !errors.includes(`\`${name}\``)),
    [],
  );
});

test('every reason that a doc comment or a document names exists', () => {
  const reasons = new Set(
    [...text('src/errors.ts').matchAll(/^ {2}(ERR_GRPCFD_\w+):/gm)].map(([, reason]) => reason),
  );
  const documents = ['README.md', ...readdirSync(join(root, 'docs')).map((file) => join('docs', file))];
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).map((file) =>
    join('src', file),
  );
  for (const file of [...documents, ...sources].filter((each) => /\.(md|ts)$/.test(each))) {
    for (const [named] of text(file).matchAll(/ERR_GRPCFD_[A-Z_]+[A-Z]/g))
      assert.ok(reasons.has(named), `${file}: ${named}`);
  }
});
