/** Builds the Go programs and makes the certificates of the peers. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = new URL('../../../', import.meta.url);
const goModule = fileURLToPath(new URL('interop/go', root));

/** The directory of the programs, and the directory of this run for sockets and certificates. */
export interface Workplace extends AsyncDisposable {
  readonly bin: string;
  readonly certs: string;
  readonly directory: string;
}

/** The version of the Go toolchain, or the reason why the peers cannot be built. */
export async function findGo(): Promise<{ version: string } | { missing: string }> {
  let version: string;
  try {
    // The installed version: the go.mod of another directory must not make Go look for a newer one.
    const env = { ...process.env, GOTOOLCHAIN: 'local' };
    const { stdout } = await run('go', ['env', 'GOVERSION'], { cwd: tmpdir(), env });
    version = stdout.trim();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { missing: code === 'ENOENT' ? 'there is no go on the PATH' : message };
  }
  const [, needed = ''] = /^go (\S+)$/m.exec(await readFile(join(goModule, 'go.mod'), 'utf8')) ?? [];
  if (isOlder(version, needed)) {
    return { missing: `interop/go/go.mod asks for Go ${needed}, and this is ${version}` };
  }
  return { version };
}

/** Compares the numbers of two versions like 'go1.26.8', '1.26.0' and 'go1.27rc1'. */
function isOlder(version: string, needed: string): boolean {
  const has = numbersOf(version);
  for (const [i, number] of numbersOf(needed).entries()) {
    const difference = (has[i] ?? 0) - number;
    if (difference !== 0) return difference < 0;
  }
  return false;
}

function numbersOf(version: string): number[] {
  const [, numbers = ''] = /(\d+(?:\.\d+)*)/.exec(version) ?? [];
  return numbers.split('.').map(Number);
}

export async function prepare(): Promise<Workplace> {
  const output = fileURLToPath(new URL('build/interop/', root));
  const bin = join(output, 'bin');
  await mkdir(bin, { recursive: true });
  // The programs are built on the same file system and moved into place, so that another run never starts a half-written one.
  const env = { ...process.env, GOTMPDIR: output };
  await run('go', ['build', '-o', `${bin}/`, './cmd/...'], { cwd: goModule, env });
  const directory = await mkdtemp(join(tmpdir(), 'grpcfd-interop-'));
  const certs = join(directory, 'certs');
  await mkdir(certs);
  await run(join(bin, 'certs'), ['--dir', certs]);
  return {
    bin,
    certs,
    directory,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true, maxRetries: 10 }),
  };
}
