/** The programs of docs/guide.md, as they stand there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { trackDescriptors } from './support/fd-table.js';
import { Page, textOf } from './support/page.js';

trackDescriptors();

const GUIDE = 'docs/guide.md';
const SHARED = ['files.proto', 'files.mjs', 'tsconfig.json'];
/** Have more to be done than to run them, are run by another program, or print no more than a test runner does. */
const OTHERS = ['tls.mjs', 'typed.mts', 'files.test.mjs', 'service.mjs'];

async function prints(page: Page, file: string, program = file): Promise<void> {
  const { code, output } = await page.run(process.execPath, program);
  assert.equal(output, page.blockAfter(file, 'text'));
  assert.equal(code, 0);
}

const programs = [...textOf(GUIDE).matchAll(/^`([\w.]+\.[mc]js)`:$/gm)].map(([, file = '']) => file);

for (const file of programs.filter((each) => ![...SHARED, ...OTHERS].includes(each))) {
  test(`${file} prints what the guide says`, () => prints(new Page(GUIDE), file));
}

test('tls.mjs prints what the guide says, with certificates made as it says', async () => {
  const page = new Page(GUIDE);
  const { code, output } = await page.run('sh', '-c', page.blockAfter('chat.mjs', 'sh'));
  assert.equal(code, 0, output);
  await prints(page, 'tls.mjs');
});

test('files.test.mjs passes', async () => {
  const { code, output } = await new Page(GUIDE).run(process.execPath, '--test', 'files.test.mjs');
  assert.equal(code, 0, output);
  assert.match(output, /pass 2\b/);
});

test('typed.mts compiles with the settings of the guide, and runs', async () => {
  const page = new Page(GUIDE);
  const compiler = fileURLToPath(new URL('../../node_modules/typescript/bin/tsc', import.meta.url));
  const { code, output } = await page.run(process.execPath, compiler);
  assert.equal(code, 0, output);
  await prints(page, 'typed.mts', 'typed.mjs');
});

test('every section of the guide stands in its list', () => {
  const text = textOf(GUIDE);
  const listed = [...text.matchAll(/^- \[(.+)\]\(#.+\)$/gm)].map(([, title]) => title);
  const sections = [...text.matchAll(/^## (.+)$/gm)].map(([, title]) => title);
  assert.deepEqual(listed, sections);
});
