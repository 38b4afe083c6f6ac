/** The two processes of the Go package, which do the same as those of a {@link Rig}. */
import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { LineProcess } from './lines.js';
import type { Processes } from './proc.js';
import { temporaryDirectory } from './rig.js';

const root = new URL('../../../', import.meta.url);

export class GoRig implements AsyncDisposable {
  readonly #client: LineProcess;
  readonly #server: LineProcess;
  readonly #directory: string;

  /** Returns undefined without a Go that can build the program, and passes the reason to `why`. */
  static async start(why: (reason: string) => void): Promise<GoRig | undefined> {
    const program = fileURLToPath(new URL('build/bench/bin/go-peer', root));
    const cwd = fileURLToPath(new URL('interop/go', root));
    try {
      await promisify(execFile)('go', ['build', '-o', program, './cmd/bench'], { cwd });
    } catch (error) {
      why(error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error));
      return undefined;
    }
    const directory = await temporaryDirectory();
    const socket = join(directory, 'socket');
    const server = new LineProcess(program, ['server', socket]);
    await server.line();
    const client = new LineProcess(program, ['client', socket]);
    await client.line();
    return new GoRig(client, server, directory);
  }

  private constructor(client: LineProcess, server: LineProcess, directory: string) {
    this.#client = client;
    this.#server = server;
    this.#directory = directory;
  }

  get processes(): Processes {
    return { client: this.#client.pid, server: this.#server.pid };
  }

  /** The same as the commands `take` and `give` of `peers/client.ts`. Returns seconds. */
  async run(direction: 'take' | 'give', calls: number, count: number, atATime = 1): Promise<number> {
    return Number(await this.#client.ask(`${direction} ${calls} ${count} ${atATime}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.stop();
    await this.#server.stop();
    await rm(this.#directory, { recursive: true });
  }
}
