/** The files that the Node peers send; the counterpart of `internal/sample` of the Go peers. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { type FileHandle, mkdir, mkdtemp, open, readlink, rm, unlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as grpcfd from 'grpcfd';
import type { MemfdMaker } from './memfd.js';
import type { File, Kind } from './protocol.js';

/** A file to be sent, by name or as an open file. */
export type Sample = { readonly message: File } & ({ readonly name: string } | { readonly file: FileHandle });

/**
 * Owns samples, and what keeps them alive. Each sample has its own inode, except NETNS: a process has one network namespace.
 * It owns a directory, open files and listening sockets. The samples can be received until the set is closed.
 */
export class SampleSet {
  readonly #memfds: MemfdMaker;
  readonly #directory: string;
  readonly #closers: (() => Promise<unknown> | unknown)[] = [];
  #made = 0;

  static async create(memfds: MemfdMaker): Promise<SampleSet> {
    return new SampleSet(memfds, await mkdtemp(join(tmpdir(), 'grpcfd-interop-')));
  }

  private constructor(memfds: MemfdMaker, directory: string) {
    this.#memfds = memfds;
    this.#directory = directory;
  }

  async close(): Promise<void> {
    await Promise.all(this.#closers.splice(0).map((close) => close()));
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** Makes samples, which the set owns. */
  async make(kind: Kind): Promise<Sample> {
    const evidence = randomBytes(12).toString('hex');
    const path = join(this.#directory, String(++this.#made));
    switch (kind) {
      case 'REGULAR':
        await writeFile(path, evidence);
        return byName(path, kind, evidence);
      case 'UNLINKED':
        return this.#byFile(await unlinked(path, evidence), kind, evidence);
      case 'MEMFD':
        return this.#byFile(await this.#memfds.make(evidence), kind, evidence);
      case 'SOCKET':
        await this.#listen(path, evidence);
        return byName(path, kind, evidence);
      case 'DIRECTORY':
        await mkdir(join(path, evidence), { recursive: true });
        return byName(path, kind, evidence);
      case 'PROC_FD': {
        const file = this.#keep(await unlinked(path, evidence));
        return byName(`/proc/${process.pid}/fd/${file.fd}`, kind, evidence);
      }
      case 'NETNS': {
        const name = '/proc/self/ns/net';
        return byName(name, kind, await readlink(name));
      }
    }
  }

  #byFile(file: FileHandle, kind: Kind, evidence: string): Sample {
    this.#keep(file);
    return { message: { url: grpcfd.fileToUrl(file), kind, evidence }, file };
  }

  #keep(file: FileHandle): FileHandle {
    this.#closers.push(() => file.close());
    return file;
  }

  async #listen(path: string, greeting: string): Promise<void> {
    const server = createServer((socket) => {
      // Who dialled it may have been killed.
      socket.on('error', () => {});
      socket.end(greeting);
    });
    server.listen(path);
    await once(server, 'listening');
    this.#closers.push(() => server.close());
  }
}

function byName(name: string, kind: Kind, evidence: string): Sample {
  return { message: { url: grpcfd.filenameToUrl(name), kind, evidence }, name };
}

async function unlinked(path: string, content: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL);
  await file.writeFile(content);
  await unlink(path);
  return file;
}
