// Serves a FUSE file system with one file, `file`, as long as its standard input is open. Its device is descriptor 3. It answers all but FLUSH,
// for which the kernel waits in each close of the file. See slow-file-system.ts.
import { read, writeSync } from 'node:fs';

const DEVICE = 3;
const ENOENT = 2;
const ENOSYS = 38;
const ROOT = 1n;
const FILE = 2n;
const FOR_EVER = 2n ** 31n;

/** The numbers of linux/fuse.h. */
const REQUEST = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  OPEN: 14,
  RELEASE: 18,
  FLUSH: 25,
  INIT: 26,
  INTERRUPT: 36,
  BATCH_FORGET: 42,
} as const;

/** They have no answer, and FLUSH gets none. */
const UNANSWERED: readonly number[] = [
  REQUEST.FORGET,
  REQUEST.FLUSH,
  REQUEST.INTERRUPT,
  REQUEST.BATCH_FORGET,
];

/** `struct fuse_attr`. */
function attributes(node: bigint): Buffer {
  const bytes = Buffer.alloc(88);
  bytes.writeBigUInt64LE(node, 0);
  bytes.writeUInt32LE(node === ROOT ? 0o40755 : 0o100644, 60);
  bytes.writeUInt32LE(1, 64);
  bytes.writeUInt32LE(4096, 80);
  return bytes;
}

function entry(node: bigint): Buffer {
  const bytes = Buffer.alloc(40);
  bytes.writeBigUInt64LE(node, 0);
  bytes.writeBigUInt64LE(FOR_EVER, 16);
  bytes.writeBigUInt64LE(FOR_EVER, 24);
  return Buffer.concat([bytes, attributes(node)]);
}

function attributesAnswer(node: bigint): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(FOR_EVER, 0);
  return Buffer.concat([bytes, attributes(node)]);
}

function initAnswer(minor: number): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.writeUInt32LE(7, 0);
  bytes.writeUInt32LE(Math.min(minor, 31), 4);
  bytes.writeUInt32LE(4096, 20);
  bytes.writeUInt32LE(1, 24);
  return bytes;
}

/** A buffer, or an errno. */
function answer(operation: number, node: bigint, body: Buffer): Buffer | number {
  switch (operation) {
    case REQUEST.INIT:
      return initAnswer(body.readUInt32LE(4));
    case REQUEST.LOOKUP:
      return body.toString('utf8', 0, body.indexOf(0)) === 'file' ? entry(FILE) : ENOENT;
    case REQUEST.GETATTR:
      return attributesAnswer(node);
    case REQUEST.OPEN:
      return Buffer.alloc(16);
    case REQUEST.RELEASE:
      return Buffer.alloc(0);
    default:
      return ENOSYS;
  }
}

const request = Buffer.alloc(256 * 1024);

function serveNext(): void {
  read(DEVICE, request, (error, length) => {
    if (error === null) serve(length);
    else if (!isAboutOneRequest(error)) throw error;
    serveNext();
  });
}

function serve(length: number): void {
  const operation = request.readUInt32LE(4);
  if (UNANSWERED.includes(operation)) return;
  const result = answer(operation, request.readBigUInt64LE(16), request.subarray(40, length));
  const body = typeof result === 'number' ? Buffer.alloc(0) : result;
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + body.length, 0);
  header.writeInt32LE(typeof result === 'number' ? -result : 0, 4);
  request.copy(header, 8, 8, 16);
  try {
    writeSync(DEVICE, Buffer.concat([header, body]));
  } catch (error) {
    if (!isAboutOneRequest(error as NodeJS.ErrnoException)) throw error;
  }
}

/** The process that asked was interrupted, and asks again. */
function isAboutOneRequest({ code = '' }: NodeJS.ErrnoException): boolean {
  return ['ENOENT', 'EINTR', 'EAGAIN'].includes(code);
}

serveNext();
// The end of the process would wait for the read otherwise.
process.stdin.resume().once('end', () => process.kill(process.pid, 'SIGKILL'));
