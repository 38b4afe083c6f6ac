/** What is done with the files that were received. `new ReceivedFile` stands for a receive. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpcfd from 'grpcfd';
import { native, O_PATH } from '#src/native/binding.js';
import { defer } from '../../support/fd-table.js';
import { fileWith, temporaryDirectory } from '../../support/temporary.js';
import type { Scenario } from '../scenarios.js';
import { untouched } from '../untouched.js';
import { expectEqual } from '../wrong-result.js';

const WAIT_MS = 8_000;

/** The file owns the descriptor. The constructor closes it where it throws. */
function received(fd: number, expect?: grpcfd.Expectation): grpcfd.ReceivedFile {
  const file = new grpcfd.ReceivedFile(fd, expect);
  defer(() => file.close());
  return file;
}

/** The same for two ends: where the first one fails, the second one is closed. */
function receivedBoth([a, b]: readonly [number, number]): [grpcfd.ReceivedFile, grpcfd.ReceivedFile] {
  let isTaken = false;
  defer(() => isTaken || closeSync(b));
  const first = received(a);
  isTaken = true;
  return [first, received(b)];
}

async function aFile(): Promise<void> {
  const file = received(fileWith('content'), { kind: 'file' });
  expectEqual(file.access, 'readwrite');
  expectEqual(await file.readFile('utf8'), 'content');
  const copy = file.duplicate();
  defer(() => copy.close());
  await copy.write(Buffer.from('C'), { position: 0 });
  expectEqual(await text(copy.createReadStream({ start: 0 })), 'Content');
  const again = file.reopen(0);
  defer(() => again.close());
  expectEqual(await again.readFile('utf8'), 'Content');
}

async function aPipe(): Promise<void> {
  const [reader, writer] = receivedBoth(untouched(() => native.testing.pipe()));
  const buffer = Buffer.alloc(16);
  const signal = AbortSignal.timeout(WAIT_MS);
  const reading = reader.read(buffer, { signal });
  await Promise.all([reading, delay(2).then(() => writer.write(Buffer.from('through'), { signal }))]);
  expectEqual(buffer.toString('utf8', 0, (await reading).bytesRead), 'through');
}

/** A FIFO has no RWF_NOWAIT: it is read by way of a pipe of the package. */
async function aFifo(): Promise<void> {
  const path = join(temporaryDirectory(), 'fifo');
  execFileSync('mkfifo', [path]);
  const writer = openSync(path, 'r+');
  defer(() => closeSync(writer));
  const file = received(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  const signal = AbortSignal.timeout(WAIT_MS);
  const buffer = Buffer.alloc(16);
  for (const word of ['first', 'second']) {
    const reading = file.read(buffer, { signal });
    writeSync(writer, word);
    expectEqual(buffer.toString('utf8', 0, (await reading).bytesRead), word);
  }
}

async function aSocket(): Promise<void> {
  const [one, other] = receivedBoth(untouched(() => native.socketPair()));
  const signal = AbortSignal.timeout(WAIT_MS);
  const buffer = Buffer.alloc(16);
  const reading = one.read(buffer, { signal });
  await Promise.all([reading, other.write(Buffer.from('across'), { signal })]);
  expectEqual(buffer.toString('utf8', 0, (await reading).bytesRead), 'across');
}

async function aDirectory(): Promise<void> {
  const path = temporaryDirectory();
  mkdirSync(join(path, 'inner'));
  writeFileSync(join(path, 'inner/note'), 'noted');
  const directory = received(openSync(path, 'r'));
  const signal = AbortSignal.timeout(WAIT_MS);
  expectEqual((await directory.readdir({ signal })).join(), 'inner');
  const note = await directory.openIn('inner/note', 0, { signal });
  defer(() => note.close());
  expectEqual(await note.readFile('utf8'), 'noted');
  const chosen = await grpcfd.openFile('inner/note', { beneath: path, signal });
  defer(() => chosen.close());
  expectEqual(await chosen.readFile('utf8'), 'noted');
}

async function aSocketFile(): Promise<void> {
  const path = join(temporaryDirectory(), 'greeter');
  const server = createServer((socket) => socket.end('hello'));
  server.listen(path);
  await once(server, 'listening');
  defer(() => server.close());
  const file = received(untouched(() => native.open(path, O_PATH, 0)));
  const socket = await file.connect({ timeoutMs: WAIT_MS });
  defer(() => socket.destroy());
  expectEqual(await text(socket), 'hello');
}

async function aNamespace(): Promise<void> {
  const file = received(untouched(() => native.open('/proc/self/ns/net', O_PATH, 0)));
  expectEqual(file.namespace().type, 'net');
}

async function memory(): Promise<void> {
  const shared = grpcfd.createSharedMemory(8 << 20, { name: 'faults' });
  defer(() => shared.close());
  shared.bytes.fill(7);
  shared.seal();
  const file = received(untouched(() => native.duplicate(shared.fd)));
  expectEqual(file.kind, 'memfd');
  const mapped = file.map();
  defer(() => mapped.close());
  await mapped.populate();
  expectEqual(mapped.bytes[(8 << 20) - 1], 7);
}

async function doorbells(): Promise<void> {
  const bell = grpcfd.createEventFd();
  defer(() => bell.close());
  const other = received(untouched(() => native.duplicate(bell.fd))).toEventFd();
  defer(() => other.close());
  const signal = AbortSignal.timeout(WAIT_MS);
  const rings = other.values({ signal });
  const ring = rings.next();
  // It may fail before it is awaited.
  ring.catch(() => {});
  await delay(1);
  bell.notify();
  expectEqual((await ring).value, 1n);
  await rings.return?.();
}

async function closes(): Promise<void> {
  for (const make of [
    () => native.testing.inotify(),
    () => native.testing.eventFd(),
    () => native.testing.epoll(),
    () => fileWith('short'),
  ]) {
    await received(untouched(make)).close();
  }
  for (const pair of [() => native.testing.pipe(), () => native.socketPair()]) {
    for (const file of receivedBoth(untouched(pair))) await file.close();
  }
}

export const FILES: readonly Scenario[] = [
  { name: 'a file', run: aFile },
  { name: 'a pipe', run: aPipe },
  { name: 'a FIFO', run: aFifo },
  { name: 'a socket', run: aSocket },
  { name: 'a directory', run: aDirectory },
  { name: 'a socket file', run: aSocketFile },
  { name: 'a namespace', run: aNamespace },
  { name: 'shared memory', run: memory },
  { name: 'doorbells', run: doorbells },
  { name: 'closes', run: closes },
];
