import { assertExpected, type Expectation } from '../descriptor/file-kind.js';
import type { FileLook } from '../descriptor/file-look.js';
import type { ReceivedFile } from '../descriptor/received-file.js';
import { GrpcFdError } from '../errors.js';
import type { InodeName } from '../inbox/names.js';
import type { ReceiveOptions } from '../inbox/pending-receive.js';
import type { Reference } from './reference.js';

/** What {@link receiveAll} needs of a transceiver. */
export interface FileReceiver {
  /** Looks at the file of a reference. Throws what a receive would throw. */
  lookAt(reference: Reference): FileLook;
  /** The descriptor that came. It throws nothing that {@link lookAt} has not thrown before in the same turn. */
  handOver(reference: Reference, look: FileLook): ReceivedFile;
  /** A duplicate, which may fail. For an inode, undefined where none is here. */
  duplicate(name: Reference): ReceivedFile;
  duplicate(name: InodeName | Reference): ReceivedFile | undefined;
  /** A duplicate of a file of that inode, as soon as it is here. */
  wait(name: InodeName, options: ReceiveOptions): Promise<ReceivedFile>;
}

/**
 * Receives all of these, or none.
 *
 * What can fail in this process fails before any descriptor is handed over: every reference is checked, every file is looked at, and every
 * duplicate of what is here is made. Then nothing is lost. After that, a file can be another one than `expected` for its field, a wait can
 * fail, or a URL can be bad. What had come is closed then, since a part of a message is of no use.
 */
export async function receiveAll<Field extends string>(
  receiver: FileReceiver,
  sources: ReadonlyMap<Field, InodeName | Reference>,
  expected: ReadonlyMap<string, Expectation | undefined>,
  options: ReceiveOptions,
): Promise<Map<Field, ReceivedFile>> {
  const files = new Map<Field, ReceivedFile>();
  const missing = new Map<Field, InodeName>();
  try {
    const handedOver = options.keep === true ? new Map<Field, never>() : lastFields(sources);
    const looks = new Map([...sources].map(([field, source]) => [field, lookAt(receiver, source)]));
    for (const [field, source] of sources) {
      if (handedOver.has(field)) continue;
      const file = source.kind === 'inode' ? duplicateIfHere(receiver, source) : receiver.duplicate(source);
      if (file !== undefined) files.set(field, file);
      else if (source.kind === 'inode') missing.set(field, source);
    }
    for (const [field, source] of handedOver) {
      const look = looks.get(field);
      if (look !== undefined) files.set(field, receiver.handOver(source, look));
    }
    for (const [field, file] of files) assertExpected(nameIn(field, file), file, expected.get(field));
    if (missing.size > 0) await waitForAll(receiver, missing, expected, options, files);
    return files;
  } catch (error) {
    // Nobody waits for that: a close may take any time.
    for (const file of files.values()) file[Symbol.dispose]();
    throw error;
  }
}

function nameIn(field: string, { url }: ReceivedFile): string {
  return `${url}, in the field ${field},`;
}

export async function closeAll(files: Iterable<ReceivedFile>): Promise<void> {
  await Promise.all([...files].map((file) => file.close()));
}

function lookAt(receiver: FileReceiver, source: InodeName | Reference): FileLook | undefined {
  return source.kind === 'reference' ? receiver.lookAt(source) : undefined;
}

/** The fields to which a descriptor is handed over: of those that have one reference, the last one. The others get duplicates. */
function lastFields<Field extends string>(
  sources: ReadonlyMap<Field, InodeName | Reference>,
): ReadonlyMap<Field, Reference> {
  const lasts = new Map<string, [Field, Reference]>();
  for (const [field, source] of sources) {
    if (source.kind === 'reference') lasts.set(`${source.id}:${source.number}`, [field, source]);
  }
  return new Map(lasts.values());
}

/** Any other failure than that of a duplicate fails the wait for that file, too. */
function duplicateIfHere(receiver: FileReceiver, name: InodeName): ReceivedFile | undefined {
  try {
    return receiver.duplicate(name);
  } catch (error) {
    if (error instanceof GrpcFdError && error.reason !== 'ERR_GRPCFD_RECEIVE_FAILED') return undefined;
    throw error;
  }
}

/** Adds what comes to `files`. The first failure ends the other waits, and all have ended when this settles. */
async function waitForAll<Field extends string>(
  receiver: FileReceiver,
  names: ReadonlyMap<Field, InodeName>,
  expected: ReadonlyMap<string, Expectation | undefined>,
  options: ReceiveOptions,
  files: Map<Field, ReceivedFile>,
): Promise<void> {
  const others = new AbortController();
  const { signal = others.signal } = options;
  const abortOthers = () => others.abort(signal.reason);
  signal.addEventListener('abort', abortOthers);
  const waits = [...names].map(async ([field, name]) => {
    const file = await receiver.wait(name, { ...options, signal: others.signal });
    files.set(field, file);
    assertExpected(nameIn(field, file), file, expected.get(field));
  });
  try {
    await Promise.all(waits);
  } catch (error) {
    others.abort();
    await Promise.allSettled(waits);
    throw error;
  } finally {
    signal.removeEventListener('abort', abortOthers);
  }
}
