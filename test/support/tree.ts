import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ReceivedFile } from 'grpcfd';
import { native, O_PATH } from '#src/native/binding.js';
import { defer } from './fd-table.js';
import { sharedState } from './idle.js';
import { temporaryDirectory } from './temporary.js';

/** A directory with files and links, beside a file `secret` that nobody must reach from it. */
export function tree(): string {
  const directory = join(temporaryDirectory(), 'inside');
  mkdirSync(join(directory, 'deep', 'deeper'), { recursive: true });
  writeFileSync(join(directory, 'deep', 'file'), 'inside');
  writeFileSync(join(directory, '..', 'secret'), 'outside');
  symlinkSync('deep/file', join(directory, 'good'));
  symlinkSync('../secret', join(directory, 'bad'));
  symlinkSync('/proc/self/exe', join(directory, 'absolute'));
  symlinkSync('..', join(directory, 'deep', 'up'));
  return directory;
}

/** The ways to open a directory that is sent. */
export const OPENINGS = [
  ['with O_PATH', O_PATH],
  ['to read', 0],
] as const;

/** `path` as it is received. At the end of the test, the state of the sender's open file must be as it was. */
export function receivedPath(path: string, flags: number): { file: ReceivedFile; sender: number } {
  const sender = native.open(path, flags, 0);
  const before = sharedState(sender);
  const file = new ReceivedFile(native.duplicate(sender));
  defer(async () => {
    await file.close();
    const after = sharedState(sender);
    native.close(sender);
    if (after !== before) throw new Error(`the sender's open file was changed: ${before} became ${after}`);
  });
  return { file, sender };
}
