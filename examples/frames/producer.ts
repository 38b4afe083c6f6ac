// Stores frames in shared memory, and sends them in messages: `node producer.js ADDRESS`
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { bind } from '../handover/handover.js';
import { cameraService, type Frame, FrameRing, POOL_BYTES, type Pool, seen, type Wanted } from './pool.js';

const [, , address = ''] = process.argv;

/** Stores frames as long as there is room, and waits for a ring where there is none, until `rung` is over. */
async function store(frames: number, ring: FrameRing, stored: grpcfd.EventFd, rung: AsyncIterator<bigint>) {
  for (let number = 0; number < frames; number++) {
    // The consumer rings after it has moved its counter. So a ring that came between this look and the wait ends the wait.
    while (ring.isFull) if ((await rung.next()).done) return;
    ring.slot(number).set(seen(number));
    ring.stored = number + 1;
    stored.notify();
  }
}

const server = new grpcfd.Server();
server.addService(cameraService, {
  Attach: grpcfd.handler<Wanted, Pool>(async (call: grpc.ServerWritableStream<Wanted, Pool>, fds) => {
    using memory = grpcfd.createSharedMemory(POOL_BYTES);
    using stored = grpcfd.createEventFd();
    using done = grpcfd.createEventFd();
    const ended = new Promise((resolve) => call.once('cancelled', resolve));
    // The consumer ends the call. If it dies, the call ends, too.
    ended.then(() => done.close());
    call.write(fds.refs({ memory, stored, done }));
    await store(call.request.frames, new FrameRing(memory.bytes), stored, done.values());
    await ended;
  }),

  Send: grpcfd.handler<Wanted, Frame>(async (call: grpc.ServerWritableStream<Wanted, Frame>) => {
    for (let number = 0; number < call.request.frames; number++) {
      const hasRoom = call.write({ content: seen(number) });
      if (!hasRoom) await new Promise((resolve) => call.once('drain', resolve));
    }
  }),
});
await bind(server, address, grpcfd.serverCredentials());
// It ends with the process that started it, however that one ends.
process.stdin.resume().once('end', () => server.forceShutdown());
