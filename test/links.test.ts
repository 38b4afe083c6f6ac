/** The links of the documents lead to files and headings that exist. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { textOf } from './support/page.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

const PAGES = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'SECURITY.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** As GitHub makes it of a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}

function anchorsOf(path: string): string[] {
  const prose = textOf(path).replace(/```.*?```/gs, '');
  return [...prose.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => anchorOf(heading));
}

for (const page of PAGES) {
  test(`the links of ${page}`, () => {
    for (const [link, path = '', anchor] of textOf(page).matchAll(
      /\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)/g,
    )) {
      const target = path === '' ? page : normalize(join(dirname(page), path));
      assert.ok(existsSync(join(root, target)), `${page}: ${link}`);
      if (anchor === undefined || !statSync(join(root, target)).isFile()) continue;
      assert.ok(anchorsOf(target).includes(anchor), `${page}: ${link}`);
    }
  });
}
