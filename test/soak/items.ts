/** Descriptors of all kinds, each with a token in it that its receiver finds. */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createSharedMemory, type ReceivedFile, type Sendable } from 'grpcfd';
import { native } from '#src/native/binding.js';
import { fileWith } from '../support/temporary.js';

export const ITEM_KINDS = ['file', 'memfd', 'pipe', 'socket', 'eventfd', 'directory', 'listener'] as const;
export type ItemKind = (typeof ITEM_KINDS)[number];

export interface Item {
  /** It can be closed as soon as it was given to the package. */
  readonly thing: Sendable;
  close(): void;
}

/** Makes a descriptor with the token in it, for the caller to close. */
export async function makeItem(kind: ItemKind, token: string, directory: string): Promise<Item> {
  switch (kind) {
    case 'file':
      return ofNumber(fileWith(token));
    case 'memfd': {
      const memory = createSharedMemory(token.length);
      memory.bytes.set(Buffer.from(token));
      return { thing: memory, close: () => memory.close() };
    }
    case 'pipe':
      return ofNumber(withBytesFrom(native.testing.pipe(), token));
    case 'socket':
      return ofNumber(withBytesFrom(native.socketPair(), token));
    case 'eventfd': {
      const fd = native.testing.eventFd();
      const counter = Buffer.alloc(8);
      counter.writeBigUInt64LE(counterOf(token));
      writeSync(fd, counter);
      return ofNumber(fd);
    }
    case 'directory': {
      // It stays: nobody knows when its receiver has listed it.
      const path = join(directory, `of ${token}`);
      mkdirSync(join(path, token), { recursive: true });
      return ofNumber(openSync(path, 'r'));
    }
    case 'listener': {
      const server = createServer();
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject).listen(nameOf(token), resolve);
      });
      return { thing: server, close: () => server.close() };
    }
  }
}

/** What is in a file that was received. Closes the file. */
export async function tokenIn(file: ReceivedFile, kind: ItemKind, promised: string): Promise<string> {
  try {
    return await look(file, kind, promised);
  } finally {
    await file.close();
  }
}

async function look(file: ReceivedFile, kind: ItemKind, promised: string): Promise<string> {
  // Each promised token decides for itself which of two ways is taken.
  const otherWay = counterOf(promised) % 2n === 0n;
  switch (kind) {
    case 'socket':
      return otherWay ? text(file.toSocket()) : file.readFile('utf8');
    case 'eventfd': {
      using bell = file.toEventFd();
      const { value } = await bell.values()[Symbol.asyncIterator]().next();
      // The counter stands for the token, and not the other way round.
      return value === counterOf(promised) ? promised : `${value}`;
    }
    case 'directory':
      return (await file.readdir()).join();
    case 'listener': {
      const { listening, localAddress } = file.socketInfo();
      const address = localAddress?.address ?? '';
      if (!listening || !address.startsWith(nameOf(promised))) return address;
      if (otherWay) await connectTo(file.toServer(), address);
      return promised;
    }
    default:
      return file.readFile('utf8');
  }
}

/** A connection gets through to the server that was received. */
async function connectTo(server: Server, address: string): Promise<void> {
  const client = connect(address);
  try {
    await new Promise<void>((resolve, reject) => {
      client.on('error', reject);
      server.once('connection', (socket) => resolve(void socket.destroy()));
    });
  } finally {
    client.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** Before Node.js 22, zeros follow the name. */
function nameOf(token: string): string {
  return `\0grpcfd-soak ${token}.`;
}

function ofNumber(fd: number): Item {
  return { thing: fd, close: () => closeSync(fd) };
}

/** The end to read from, of a pipe or socketpair whose other end has written the token and is closed. */
function withBytesFrom([out, into]: [number, number], token: string): number {
  writeSync(into, token);
  closeSync(into);
  return out;
}

/** FNV-1a, and never 0, which an eventfd does not report. */
function counterOf(token: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(token)) hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffff_ffff_ffffn;
  return hash + 1n;
}
