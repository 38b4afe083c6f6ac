/** Memfds for the Node peers. Node.js cannot make one, so a Go process does, and the Node process opens it. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

export class MemfdMaker {
  readonly #command: string;
  #maker: ChildProcessByStdio<Writable, Readable, null> | undefined;
  #names: Interface | undefined;
  readonly #waiting: ((name: string) => void)[] = [];

  /** @param bin directory of the Go programs */
  constructor(bin: string) {
    this.#command = join(bin, 'memfd');
  }

  /** A memfd with that content, open to be read and written. The caller closes it. */
  async make(content: string): Promise<FileHandle> {
    const maker = this.#start();
    const name = await new Promise<string>((resolve) => {
      this.#waiting.push(resolve);
      maker.stdin.write(`${content}\n`);
    });
    return open(name, 'r+');
  }

  close(): void {
    this.#maker?.stdin.end();
    this.#names?.close();
  }

  #start(): ChildProcessByStdio<Writable, Readable, null> {
    if (this.#maker === undefined) {
      this.#maker = spawn(this.#command, { stdio: ['pipe', 'pipe', 'inherit'] });
      this.#names = createInterface({ input: this.#maker.stdout });
      this.#names.on('line', (name) => this.#waiting.shift()?.(name));
    }
    return this.#maker;
  }
}
