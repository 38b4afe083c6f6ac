// The compiler does not copy src/package.json, which says that the modules are CommonJS, and makes no file executable.
import { chmodSync, copyFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = new URL('..', import.meta.url);
copyFileSync(
  fileURLToPath(new URL('src/package.json', root)),
  fileURLToPath(new URL('dist/package.json', root)),
);
chmodSync(fileURLToPath(new URL('dist/cli/main.js', root)), 0o755);
