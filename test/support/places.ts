/** What is sent to be opened, listed, dialled or told, and what another process does with it. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type * as grpcfd from 'grpcfd';
import { native, O_PATH } from '#src/native/binding.js';
import { defer } from './fd-table.js';
import { temporaryDirectory } from './temporary.js';

export interface Place {
  readonly what: string;
  /** Beneath the directory that {@link makePlaces} makes, or absolute. */
  readonly path: string;
  readonly flags: number;
}

export const PLACES: readonly Place[] = [
  { what: 'a directory', path: 'directory', flags: 0 },
  { what: 'an O_PATH of a directory', path: 'directory', flags: O_PATH },
  { what: 'an O_PATH of a socket file', path: 'greeter', flags: O_PATH },
  { what: 'an O_PATH of a file', path: 'directory/note', flags: O_PATH },
  { what: 'a namespace', path: '/proc/self/ns/net', flags: 0 },
  { what: 'an O_PATH of a namespace', path: '/proc/self/ns/uts', flags: O_PATH },
];

/** Their directory. The end of the test removes it. */
export async function makePlaces(): Promise<string> {
  const root = temporaryDirectory();
  mkdirSync(join(root, 'directory'));
  writeFileSync(join(root, 'directory', 'note'), 'the note');
  writeFileSync(join(root, 'secret'), '');
  symlinkSync('../secret', join(root, 'directory', 'way out'));
  const greeter = createServer((socket) => socket.end('hello'));
  await new Promise<void>((resolve) => greeter.listen(join(root, 'greeter'), resolve));
  defer(() => greeter.close());
  return root;
}

export function openPlace(root: string, index: number): number {
  const { path, flags } = PLACES[index] ?? { path: '', flags: 0 };
  return native.open(path.startsWith('/') ? path : join(root, path), flags, 0);
}

/** What a receiver finds out. It is the same in every process of this machine that is in our namespaces. */
export async function explore(file: grpcfd.ReceivedFile): Promise<Record<string, unknown>> {
  const { ino } = await file.stat();
  const found = { inode: String(ino), kind: file.kind, access: file.access };
  switch (file.kind) {
    case 'directory': {
      await using note = await file.openIn('note');
      const wayOut = await file.openIn('way out').catch((error: grpcfd.GrpcFdError) => error.reason);
      const names = (await file.readdir()).sort();
      return { ...found, names, note: await note.readFile('utf8'), wayOut };
    }
    case 'socket':
      return { ...found, heard: await text(await file.connect()) };
    case 'namespace':
      return { ...found, ...file.namespace() };
    default: {
      using reopened = file.reopen(0);
      return { ...found, content: await reopened.readFile('utf8') };
    }
  }
}
