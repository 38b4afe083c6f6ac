/** Makes what the peers need: the Go programs, and certificates. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = new URL('../../../', import.meta.url);
const goModule = fileURLToPath(new URL('interop/go', root));

/** Where the programs are, and a directory of this run for its sockets and certificates. */
export interface Workplace extends AsyncDisposable {
  readonly bin: string;
  readonly certs: string;
  readonly directory: string;
}

/** The version of the Go toolchain, or why there is none. */
export async function findGo(): Promise<{ version: string } | { missing: string }> {
  try {
    const { stdout } = await run('go', ['version']);
    return { version: stdout.trim() };
  } catch (error) {
    return { missing: error instanceof Error ? error.message : String(error) };
  }
}

export async function prepare(): Promise<Workplace> {
  const bin = fileURLToPath(new URL('build/interop/bin/', root));
  await run('go', ['build', '-o', bin, './cmd/...'], { cwd: goModule });
  const directory = await mkdtemp(join(tmpdir(), 'grpcfd-interop-'));
  const certs = join(directory, 'certs');
  await mkdir(certs);
  await run(join(bin, 'certs'), ['--dir', certs]);
  return {
    bin,
    certs,
    directory,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}
