// The declarations, with every TypeScript and every way in which it resolves modules. What compiles to something that Node.js runs is run.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { once, run, runAnyway } from './environment.mjs';
import { assertExchanged } from './exchange.mjs';
import { project, versionOf } from './projects.mjs';

const VERSIONS = ['5.4', '5.5', '5.6', '5.7', '5.9', '6.0', 'latest'];

/** `file` is the kind of module that is compiled: .ts is CommonJS here, because package.json has no type. */
const SETTINGS = {
  'commonjs, node10': { module: 'commonjs', moduleResolution: 'node10', file: 'exchange.ts', until: 7 },
  'node16, ES module': { module: 'node16', moduleResolution: 'node16', file: 'exchange.mts' },
  'node16, CommonJS': { module: 'node16', moduleResolution: 'node16', file: 'exchange.ts' },
  'nodenext, ES module': {
    module: 'nodenext',
    moduleResolution: 'nodenext',
    file: 'exchange.mts',
    short: true,
  },
  'nodenext, CommonJS': {
    module: 'nodenext',
    moduleResolution: 'nodenext',
    file: 'exchange.ts',
    short: true,
  },
  'preserve, bundler': {
    module: 'preserve',
    moduleResolution: 'bundler',
    file: 'exchange.mts',
    emits: false,
  },
};

function projectFor(version) {
  return once(`typescript ${version}`, () =>
    project(`typescript-${version}`, {
      files: ['exchange.mts', 'exchange.ts'],
      dependencies: [`typescript@${version}`, '@types/node@20'],
    }),
  );
}

async function compile(version, { module, moduleResolution, file, emits = true, until = Infinity }) {
  const directory = await projectFor(version);
  const modules = join(directory, 'node_modules');
  const compiler = versionOf(modules, 'typescript');
  const major = Number(compiler.split('.')[0]);
  if (major >= until) return `TypeScript ${compiler} does not have it`;
  const outDir = `out-${module}-${file}`;
  const deprecated = major === 6 ? { ignoreDeprecations: '6.0' } : {};
  const compilerOptions = {
    ...{
      target: 'es2022',
      lib: ['es2023', 'esnext.disposable'],
      types: ['node'],
      strict: true,
      skipLibCheck: false,
    },
    ...{
      esModuleInterop: true,
      rootDir: '.',
      outDir,
      noEmit: !emits,
      noEmitOnError: false,
      module,
      moduleResolution,
    },
    ...deprecated,
  };
  const config = `tsconfig-${module}-${file}.json`;
  writeFileSync(join(directory, config), JSON.stringify({ compilerOptions, files: [file] }));
  const tsc = [join(modules, 'typescript/bin/tsc'), '-p', config, '--pretty', 'false'];
  const { code, stdout, stderr } = await runAnyway(process.execPath, tsc, { cwd: directory });
  const errors = stdout.split('\n').filter((line) => /error TS/.test(line));
  assert.ok(code === 0 || errors.length > 0, stdout + stderr);
  const ofGrpc = errors.filter((line) => /^node_modules\/(?!grpcfd\/)/.test(line));
  assert.deepEqual(
    errors.filter((line) => !ofGrpc.includes(line)),
    [],
  );
  const emitted = join(directory, outDir, file.replace(/ts$/, 'js'));
  if (emits) assertExchanged(await run(process.execPath, [emitted], { cwd: directory }));
  const foreign =
    ofGrpc.length > 0 ? `, with ${ofGrpc.length} errors in declarations of ${packagesOf(ofGrpc)}` : '';
  return `TypeScript ${compiler}: compiles${emits ? ' and runs' : ''}${foreign}`;
}

function packagesOf(errors) {
  const names = errors.map((line) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(line)?.[1]);
  return [...new Set(names)].join(', ');
}

export const rows = VERSIONS.flatMap((version) =>
  Object.entries(SETTINGS).map(([name, setting]) => ({
    subject: 'typescript',
    environment: `${version}, ${name}`,
    short: setting.short === true && (version === VERSIONS[0] || version === 'latest'),
    work: () => compile(version, setting),
  })),
);
