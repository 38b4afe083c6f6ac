/** Files that the command line names, to read and to write. None makes the process wait where it cannot be ended. */
import { createWriteStream, readFileSync, type Stats, statSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import * as grpcfd from '../../index.js';
import { delay } from '../../timers.js';
import { EXIT, Failure, oneLine } from '../failure.js';
import type { Deadline } from './deadline.js';

/** How often a FIFO without a reader is tried. */
const TRY_MS = 50;

/** The content of a file. A FIFO, such as `<(command)` of a shell, is read to its end. */
export async function readInput(path: string, deadline: Deadline): Promise<Buffer> {
  try {
    if (!grpcfd.supported || !kindOf(path)?.isFIFO()) return readFileSync(path);
    return await deadline.during(`the end of the FIFO ${path}`, readFifo(path));
  } catch (error) {
    throw new Failure(oneLine(error), EXIT.noInput, { cause: error });
  }
}

async function readFifo(path: string): Promise<Buffer> {
  await using file = await grpcfd.openFile(path);
  const chunks: Buffer[] = [];
  for await (const chunk of file.createReadStream()) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/**
 * Opens a file to write, which is made or emptied. A FIFO is waited for until it has a reader.
 *
 * A blocked open() or write() of `node:fs` keeps a thread of the pool, and Node.js waits for it before the process ends.
 */
export async function openOutput(path: string, deadline: Deadline): Promise<Writable> {
  const kind = kindOf(path);
  if (!grpcfd.supported || kind === undefined || kind.isFile()) return createWriteStream(path);
  const open = kind.isFIFO()
    ? deadline.during(`a reader of the FIFO ${path}`, openFifo(path))
    : openOnce(path);
  const file = await open;
  const stream = file.createWriteStream();
  finished(stream)
    .catch(() => {})
    .finally(() => file.close());
  return stream;
}

function openOnce(path: string): Promise<grpcfd.ReceivedFile> {
  return grpcfd.openFile(path, { flags: 'w' });
}

async function openFifo(path: string): Promise<grpcfd.ReceivedFile> {
  for (;;) {
    try {
      return await openOnce(path);
    } catch (error) {
      const { cause } = error as Error;
      // A FIFO that no process has open to read.
      if ((cause as NodeJS.ErrnoException | undefined)?.code !== 'ENXIO') throw error;
    }
    await delay(TRY_MS);
  }
}

function kindOf(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}
