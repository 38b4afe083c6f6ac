/** Finds the copies of a package that programs in the current directory and this tool would load. */
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface Copy {
  readonly folder: string;
  readonly version: string;
}

/** Deeper trees exist only by accident. */
const DEEPEST = 8;

export const copiesOfGrpc = (): Copy[] => copiesOf('@grpc/grpc-js', [process.cwd(), __dirname]);

/** Those of programs alone: this tool may be of a copy that npx has for itself. */
export const copiesOfThisPackage = (): Copy[] => copiesOf('grpcfd', [process.cwd()]);

function copiesOf(name: string, folders: readonly string[]): Copy[] {
  const found = new Map<string, Copy>();
  for (const folder of folders) {
    for (const modules of modulesAbove(folder)) {
      collect(modules, name, found, 0);
      // Those above it are never loaded where this one has the package.
      if (existsSync(join(modules, name))) break;
    }
  }
  return [...found.values()];
}

/** The file that `grpcfd call` loads, or undefined. grpc-js has a copy for itself, which an installer may hide from this package. */
export function protoLoaderFrom(): string | undefined {
  const resolve = (name: string, ...paths: readonly string[]) => {
    try {
      return require.resolve(name, { paths: [...paths] });
    } catch {
      return undefined;
    }
  };
  const near = [__dirname, process.cwd()];
  const grpc = resolve('@grpc/grpc-js', ...near);
  const loader = '@grpc/proto-loader';
  return resolve(loader, ...near) ?? (grpc === undefined ? undefined : resolve(loader, dirname(grpc)));
}

/** The node_modules of a folder and of those above it. */
function modulesAbove(folder: string): string[] {
  const above = dirname(folder);
  const own = join(folder, 'node_modules');
  return above === folder ? [own] : [own, ...modulesAbove(above)];
}

function collect(modules: string, name: string, found: Map<string, Copy>, depth: number): void {
  if (depth > DEEPEST) return;
  note(join(modules, name), found);
  for (const entry of namesIn(modules)) {
    const packages = entry.startsWith('@')
      ? namesIn(join(modules, entry)).map((each) => join(entry, each))
      : [entry];
    for (const each of packages) collect(join(modules, each, 'node_modules'), name, found, depth + 1);
  }
  // The store of pnpm.
  for (const entry of namesIn(join(modules, '.pnpm'))) {
    if (entry.startsWith(`${name.replace('/', '+')}@`))
      note(join(modules, '.pnpm', entry, 'node_modules', name), found);
  }
}

function note(folder: string, found: Map<string, Copy>): void {
  try {
    const real = realpathSync(folder);
    const { version } = JSON.parse(readFileSync(join(real, 'package.json'), 'utf8'));
    found.set(real, { folder: real, version });
  } catch {
    // It is not there.
  }
}

/** Real folders only: a link leads to a package that is looked at where it is. */
function namesIn(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries.filter((each) => each.isDirectory()).map(({ name }) => name);
  } catch {
    return [];
  }
}
