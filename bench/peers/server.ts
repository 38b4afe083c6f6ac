/** The server process of a side: `server.js LINK`, a {@link Link} in JSON. */

import { closeSync, readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { obey } from '../lib/control.js';
import { Allocations } from './allocations.js';
import { FilePool } from './files.js';
import { benchService, channelOptions, joinNames, type Link, PIECE_BYTES, splitNames } from './service.js';

const link = JSON.parse(process.argv[2] ?? '') as Link;
const pool = new FilePool();
const allocations = new Allocations();
const piece = Buffer.alloc(PIECE_BYTES, 1);
const connections: grpcfd.FdConnection[] = [];
let payload: grpcfd.SharedMemory | undefined;

type UnaryCall = grpc.ServerUnaryCall<Buffer, Buffer>;

const implementation: grpc.UntypedServiceImplementation = {
  echo(call: UnaryCall, callback: grpc.sendUnaryData<Buffer>) {
    callback(null, call.request);
  },
  down(call: grpc.ServerWritableStream<Buffer, Buffer>) {
    let left = Number(call.request.toString());
    const write = () => {
      while (left > 0) {
        left--;
        if (!call.write(piece)) {
          call.once('drain', write);
          return;
        }
      }
      call.end();
    };
    write();
  },
  up(call: grpc.ServerReadableStream<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) {
    let bytes = 0;
    call.on('data', (message: Buffer) => {
      bytes += message.length;
    });
    call.on('end', () => callback(null, Buffer.from(String(bytes))));
  },
  take: grpcfd.handler(async (call: UnaryCall, fds) => {
    const received = await Promise.all(splitNames(call.request).map((name) => fds.recvFd(name)));
    for (const fd of received) closeSync(fd);
    return Buffer.alloc(0);
  }),
  give: grpcfd.handler(async (call: UnaryCall, fds) => {
    const files = pool.take(Number(call.request.toString()));
    return joinNames(files.map((fd) => fds.sendFd(fd).ref));
  }),
  payload: grpcfd.handler(async (_call: UnaryCall, fds) => {
    if (payload === undefined) throw new Error('there is no payload');
    return Buffer.from(fds.sendFile(payload).ref);
  }),
};

function credentials(): grpc.ServerCredentials {
  const { flavour, tls } = link;
  const inner =
    tls === undefined
      ? grpc.ServerCredentials.createInsecure()
      : grpc.ServerCredentials.createSsl(null, [
          { private_key: readFileSync(tls.key), cert_chain: readFileSync(tls.cert) },
        ]);
  if (flavour === 'stock') return inner;
  return grpcfd.serverCredentials(inner, {
    // The benchmark `scale` needs more than the defaults.
    maxHeldFds: Number.POSITIVE_INFINITY,
    maxPendingReceives: Number.POSITIVE_INFINITY,
    maxHeldFdsTotal: Number.POSITIVE_INFINITY,
    maxConnections: Number.POSITIVE_INFINITY,
    onConnection: (connection) => connections.push(connection),
  });
}

const commands = {
  /** The sealed memory that the payload method hands over, every byte of it 1. */
  preparePayload(bytes: number): void {
    payload?.close();
    payload = grpcfd.createSharedMemory(bytes);
    payload.bytes.fill(1);
    payload.seal();
  },
  /** Starts that many receives on the first connection, of files that never arrive. Returns seconds. */
  wait(count: number): number {
    const [connection] = connections;
    if (connection === undefined) throw new Error('there is no connection');
    const start = performance.now();
    for (let ino = 1; ino <= count; ino++) connection.recvFd({ dev: 1n, ino: BigInt(ino) });
    return (performance.now() - start) / 1e3;
  },
  held(): number {
    return connections.reduce((sum, connection) => sum + connection.stats().heldFds, 0);
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
export type ServerCommands = typeof commands;

const server =
  link.flavour === 'ours' ? new grpcfd.Server(channelOptions(link)) : new grpc.Server(channelOptions(link));
server.addService(benchService, implementation);
await new Promise<void>((resolve, reject) => {
  server.bindAsync(`unix:${link.path}`, credentials(), (error) => (error ? reject(error) : resolve()));
});
obey(commands);
