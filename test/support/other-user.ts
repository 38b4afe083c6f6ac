/** Clients in processes of their own, with users and groups that the kernel vouches for. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { defer } from './fd-table.js';

/** Only root may become somebody else. */
export const withoutRoot: string | false = process.getuid?.() === 0 ? false : 'this needs root';

export interface User {
  readonly uid: number;
  readonly gid: number;
  readonly groups?: readonly number[];
}

/** A program of `test/support/fixtures/calling-client.ts`, whose lines of standard input are calls. It is killed at the end of the test. */
export class OtherUser {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterableIterator<string>;

  constructor(address: string, { uid, gid, groups = [] }: User, ...args: string[]) {
    const program = fileURLToPath(new URL('fixtures/calling-client.js', import.meta.url));
    const ofUser = ['--reuid', `${uid}`, '--regid', `${gid}`];
    const ofGroups = groups.length > 0 ? ['--groups', groups.join(',')] : ['--clear-groups'];
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const command = [...ofUser, ...ofGroups, process.execPath, program, address, ...args];
    this.#child = spawn('setpriv', command, { env });
    this.#child.stderr.pipe(process.stderr);
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    defer(() => this.end());
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Makes one call, with so many descriptors, and gives what the program says of its outcome. */
  async call(descriptors = 0): Promise<Record<string, unknown>> {
    this.#child.stdin.write(`${descriptors}\n`);
    const { value } = await this.#lines.next();
    if (value === undefined) throw new Error('the client has ended');
    return JSON.parse(value) as Record<string, unknown>;
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGKILL');
    await closed;
  }
}
