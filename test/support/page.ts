/** The programs of a page of the documents: they are run as they stand there. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defer } from './fd-table.js';
import { temporaryDirectory } from './temporary.js';

const ROOT = new URL('../../../', import.meta.url);
const LIMIT_MS = 60_000;

/** What a project that installed this package has; `undici-types` belongs to `@types`. */
const INSTALLED = ['@grpc', '@types', 'undici-types'];

export function textOf(path: string): string {
  return readFileSync(new URL(path, ROOT), 'utf8');
}

/** The commands of the README of an example, and what it says that the first of them prints. */
export function exampleReadme(name: string): {
  readonly commands: readonly string[];
  readonly shown: string;
} {
  const readme = textOf(`examples/${name}/README.md`);
  return {
    commands: [...readme.matchAll(/```sh\n *(.*)\n *```/g)].map(([, command = '']) => command),
    shown: /```text\n(.*?)```/s.exec(readme)?.[1] ?? '',
  };
}

/** A block of code behind a line that ends with a colon. */
interface Block {
  /** The file's name, where the line is nothing but that. */
  readonly file: string | undefined;
  readonly language: string;
  readonly text: string;
}

const BLOCK = /([^\n]*):\n\n```(\w+)\n(.*?)\n```/gs;

export class Page {
  readonly directory = temporaryDirectory();
  readonly #blocks: readonly Block[];

  /** Writes the files of the page into a fresh directory, in which this package is installed. */
  constructor(path: string) {
    this.#blocks = [...textOf(path).matchAll(BLOCK)].map(([, line = '', language = '', text = '']) => ({
      file: /^`([\w.-]+)`$/.exec(line)?.[1],
      language,
      text: `${text}\n`,
    }));
    const modules = join(this.directory, 'node_modules');
    mkdirSync(modules);
    symlinkSync(fileURLToPath(ROOT), join(modules, 'grpcfd'));
    for (const name of INSTALLED) {
      symlinkSync(fileURLToPath(new URL(`node_modules/${name}`, ROOT)), join(modules, name));
    }
    for (const { file, text } of this.#blocks) {
      if (file !== undefined) writeFileSync(join(this.directory, file), text);
    }
  }

  get files(): string[] {
    return this.#blocks.flatMap(({ file }) => file ?? []);
  }

  /** The block of that language that follows the file's: what the file prints, for one. */
  blockAfter(file: string, language: string): string {
    const index = this.#blocks.findIndex((block) => block.file === file);
    const found = this.#blocks.slice(index + 1).find((block) => block.language === language);
    if (index < 0 || found === undefined) throw new Error(`no ${language} behind ${file}`);
    return found.text;
  }

  start(command: string, ...args: string[]): ChildProcessWithoutNullStreams {
    // A test runner started by a test of another one would run nothing.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const child = spawn(command, args, { cwd: this.directory, env, timeout: LIMIT_MS });
    defer(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const closed = once(child, 'close');
      child.kill();
      await closed;
    });
    return child;
  }

  /** Runs a command to its end, and gives all that it printed. */
  async run(command: string, ...args: string[]): Promise<{ code: number | null; output: string }> {
    const child = this.start(command, ...args);
    const chunks: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => chunks.push(chunk));
    const [code] = await once(child, 'close');
    return { code, output: Buffer.concat(chunks).toString() };
  }
}
