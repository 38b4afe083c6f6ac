/** The client process of a side: `client.js LINK`, a {@link Link} in JSON. Commands that return a number return seconds. */
import { once } from 'node:events';
import { closeSync, readFileSync, readSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { obey } from '../lib/control.js';
import { Allocations } from './allocations.js';
import { FilePool, memoryFiles } from './files.js';
import { BenchClient, channelOptions, joinNames, type Link, PIECE_BYTES, splitNames } from './service.js';

const link = JSON.parse(process.argv[2] ?? '') as Link;
const pool = new FilePool();
const allocations = new Allocations();
const PAGE_BYTES = 4096;
const piece = Buffer.alloc(PIECE_BYTES, 1);
let mappedPayload: grpcfd.MappedMemory | undefined;
const connections: grpcfd.FdConnection[] = [];
const clients: BenchClient[] = [newClient()];

function newClient(): BenchClient {
  return new BenchClient(`unix:${link.path}`, credentials(), channelOptions(link));
}

function credentials(): grpc.ChannelCredentials {
  const { flavour, tls } = link;
  const inner =
    tls === undefined
      ? grpc.credentials.createInsecure()
      : grpc.credentials.createSsl(readFileSync(tls.cert));
  if (flavour === 'stock') return inner;
  return grpcfd.channelCredentials(inner, { onConnection: (connection) => connections.push(connection) });
}

/** The client that all commands about a single connection use. */
function firstClient(): BenchClient {
  const [client] = clients;
  if (client === undefined) throw new Error('there is no client');
  return client;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1e3;
}

/** So many calls, so many of them at a time. */
async function many(calls: number, atATime: number, call: () => Promise<unknown>): Promise<void> {
  let left = calls;
  const caller = async () => {
    while (left-- > 0) await call();
  };
  await Promise.all(Array.from({ length: atATime }, caller));
}

async function receivePayload(fds: grpcfd.FdCallCredentials): Promise<grpcfd.ReceivedFile> {
  const name = await firstClient().call('payload', Buffer.alloc(0), fds.options());
  return fds.recvFile(name.toString());
}

/** Ways to read a payload in place; all of its bytes are 1. */
const readers = {
  async everyPage(memory: grpcfd.MappedMemory): Promise<boolean> {
    await memory.populate();
    return touchPages(memory.bytes);
  },
  everyPageUnpopulated({ bytes }: grpcfd.MappedMemory): boolean {
    return touchPages(bytes);
  },
  async everyByte(memory: grpcfd.MappedMemory): Promise<boolean> {
    await memory.populate();
    const { buffer, byteLength } = memory.bytes;
    return !Buffer.from(buffer, 0, byteLength).includes(0);
  },
};
type PayloadReader = keyof typeof readers;

function touchPages(bytes: Uint8Array): boolean {
  let sum = 0;
  for (let offset = 0; offset < bytes.length; offset += PAGE_BYTES) sum += bytes[offset] ?? 0;
  return sum > 0 && sum === Math.ceil(bytes.length / PAGE_BYTES);
}

const commands = {
  unary(calls: number, concurrency: number, bytes: number): Promise<number> {
    const client = firstClient();
    const message = Buffer.alloc(bytes, 1);
    return timed(() => many(calls, concurrency, () => client.call('echo', message)));
  },
  down(pieces: number): Promise<number> {
    return timed(async () => {
      const stream = firstClient().down(pieces);
      stream.resume();
      await once(stream, 'end');
    });
  },
  up(pieces: number): Promise<number> {
    return timed(
      () =>
        new Promise<void>((resolve, reject) => {
          const stream = firstClient().up((error) => (error ? reject(error) : resolve()));
          let left = pieces;
          const write = () => {
            while (left > 0) {
              left--;
              if (!stream.write(piece)) {
                stream.once('drain', write);
                return;
              }
            }
            stream.end();
          };
          write();
        }),
    );
  },
  /** Successive calls of a method that carries descriptors, without any descriptor. */
  none(calls: number, method: 'take' | 'give'): Promise<number> {
    const request = Buffer.from(method === 'take' ? '' : '0');
    return timed(async () => {
      for (let call = 0; call < calls; call++) await firstClient().call(method, request);
    });
  },
  /** Calls that each send descriptors to the server. */
  take(calls: number, count: number, atATime = 1): Promise<number> {
    const files = pool.take(count);
    return timed(() =>
      many(calls, atATime, async () => {
        using fds = grpcfd.callCredentials();
        const request = joinNames(files.map((fd) => fds.sendFd(fd).ref));
        await firstClient().call('take', request, fds.options());
      }),
    );
  },
  /** Calls whose replies bring descriptors to the client. */
  give(calls: number, count: number, atATime = 1): Promise<number> {
    const request = Buffer.from(String(count));
    return timed(() =>
      many(calls, atATime, async () => {
        using fds = grpcfd.callCredentials();
        const names = splitNames(await firstClient().call('give', request, fds.options()));
        for (const fd of await Promise.all(names.map((name) => fds.recvFd(name)))) closeSync(fd);
      }),
    );
  },
  /** Successive handovers, with one byte read from each. */
  payloadByte(times: number): Promise<number> {
    const byte = Buffer.alloc(1);
    return timed(async () => {
      for (let time = 0; time < times; time++) {
        using fds = grpcfd.callCredentials();
        await using file = await receivePayload(fds);
        readSync(file.fd, byte, 0, 1, 0);
      }
    });
  },
  /** One handover. Returns the seconds until it has been read, without the time of unmapping. */
  async payloadInPlace(reader: PayloadReader): Promise<number> {
    const start = performance.now();
    using fds = grpcfd.callCredentials();
    await using file = await receivePayload(fds);
    using memory = file.map();
    if (!(await readers[reader](memory))) throw new Error('the payload is not what was sent');
    return (performance.now() - start) / 1e3;
  },
  /** Maps the payload for {@link commands.readMappedPayload}, and unmaps the one before. */
  async mapPayload(): Promise<void> {
    using fds = grpcfd.callCredentials();
    await using file = await receivePayload(fds);
    mappedPayload?.close();
    mappedPayload = file.map();
    await mappedPayload.populate();
  },
  /** Reads a new payload in memory that both ends have already mapped: a call, and a read of every page. */
  readMappedPayload(): Promise<number> {
    return timed(async () => {
      await firstClient().call('echo', Buffer.alloc(1));
      if (!touchPages(mappedPayload?.bytes ?? new Uint8Array())) throw new Error('there is no payload');
    });
  },
  payloadByStream(bytes: number): Promise<number> {
    return commands.down(bytes / PIECE_BYTES);
  },
  /** Successive streams that are cancelled after their first message. */
  firstOfStream(times: number, bytes: number): Promise<number> {
    return timed(async () => {
      for (let time = 0; time < times; time++) {
        const stream = firstClient().down(bytes / PIECE_BYTES);
        await once(stream, 'data');
        const ended = once(stream, 'error');
        stream.cancel();
        await ended;
      }
    });
  },
  /** Connects more clients until there are `count`, each with a reply. */
  connect(count: number, atATime: number): Promise<number> {
    const connector = async () => {
      while (clients.length < count) {
        const client = newClient();
        clients.push(client);
        await client.call('echo', Buffer.alloc(1));
      }
    };
    return timed(() => Promise.all(Array.from({ length: atATime }, connector)));
  },
  /** Successive connections that are made, used for one call, and closed. */
  firstReplies(times: number): Promise<number> {
    return timed(async () => {
      for (let time = 0; time < times; time++) {
        const client = newClient();
        await client.call('echo', Buffer.alloc(1));
        client.close();
      }
    });
  },
  /** Sends descriptors on the first connection that no call claims. */
  hold(count: number): Promise<number> {
    const [connection] = connections;
    if (connection === undefined) throw new Error('there is no connection');
    return timed(async () => {
      const files = memoryFiles(count);
      for (const fd of files) {
        connection.sendFd(fd);
        closeSync(fd);
      }
      // The descriptors travel with the bytes of this call.
      await firstClient().call('echo', Buffer.alloc(count));
    });
  },
  countAllocations(): void {
    allocations.start();
  },
  /** Bytes that JavaScript has allocated since {@link commands.countAllocations}. */
  allocated(): number {
    return allocations.stop();
  },
  /** Bytes that JavaScript holds after two full collections: the second one frees what the first one finalized. */
  async heap(): Promise<number> {
    globalThis.gc?.();
    await setImmediate();
    globalThis.gc?.();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  },
};
export type ClientCommands = typeof commands;

await firstClient().call('echo', Buffer.alloc(1));
obey(commands);
