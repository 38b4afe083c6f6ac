/** `grpcfd proxy` between a client and a server of the matrix. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));

export class ProxyProcess implements AsyncDisposable {
  /** The address for clients. */
  readonly target: string;
  readonly #child: ChildProcess;

  /** Stands before the server at `target`, and listens beside it. What it prints is made, and thrown away. */
  static async start(target: string): Promise<ProxyProcess> {
    const own = target.replace(/\.sock$/, '-proxy.sock');
    const args = [MAIN, 'proxy', '--listen', own, '--to', target];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    const lines = createInterface({ input: child.stderr })[Symbol.asyncIterator]();
    const { value = 'the proxy ended at once' } = await lines.next();
    if (!String(value).includes('listens')) throw new Error(String(value));
    child.stderr.resume();
    return new ProxyProcess(own, child);
  }

  private constructor(target: string, child: ChildProcess) {
    this.target = target;
    this.#child = child;
  }

  /** Fails if it had ended before. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
      throw new Error(`the proxy ended: ${this.#child.exitCode ?? this.#child.signalCode}`);
    }
    const exit = once(this.#child, 'exit');
    this.#child.kill();
    await exit;
  }
}
