// Frames of 8 MiB, from one process to another: through shared memory with an eventfd as a doorbell, and through a stream of gRPC. See
// frames/README.md.
import { once } from 'node:events';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { cameraService, FRAME_BYTES, type Frame, FrameRing, type Pool, seen } from './frames/pool.js';
import { start, temporaryDirectory } from './handover/handover.js';

const FRAMES = { memory: 400, stream: 60 };
const MIB = 1024 * 1024;

const address = `unix:${join(temporaryDirectory(), 'camera.sock')}`;
const producer = start('frames/producer', [address], ['pipe', 'inherit', 'inherit']);

const Client = grpc.makeGenericClientConstructor(cameraService, 'Camera');
const client = new Client(address, grpcfd.channelCredentials(), {
  'grpc.max_receive_message_length': -1,
  // With the window of 64 KiB that HTTP/2 has at first, the stream would wait for the other end all the time.
  'grpc-node.flow_control_window': 16 * MIB,
});
await new Promise<void>((resolve, reject) =>
  client.waitForReady(Date.now() + 30_000, (error) => (error ? reject(error) : resolve())),
);

/** Looks at every byte: a frame that was lost, that came twice or that is torn has others. */
function check(number: number, content: Uint8Array): void {
  if (!seen(number).equals(content)) throw new Error(`what came is not frame ${number}`);
}

async function throughMemory(frames: number): Promise<void> {
  const fds = grpcfd.callCredentials();
  const call = client['Attach']?.({ frames }, fds.options()) as grpc.ClientReadableStream<Pool>;
  const ended = new AbortController();
  // Whatever ends the call, so that nobody waits for a producer that has died.
  call.on('error', (error) => ended.abort(error));
  const [pool] = (await once(call, 'data')) as [Pool];
  const files = await fds.recvFiles(pool, ['memory', 'stored', 'done']);
  using memory = files.memory.map({ writable: true });
  await files.memory.close();
  using stored = files.stored.toEventFd();
  using done = files.done.toEventFd();

  const ring = new FrameRing(memory.bytes);
  let number = 0;
  // A turn is for all frames that were stored since the last one.
  for await (const _ of stored.values({ signal: ended.signal })) {
    for (; number < ring.stored; number++) {
      check(number, ring.slot(number));
      ring.done = number + 1;
      done.notify();
    }
    if (number === frames) break;
  }
  call.cancel();
  fds.close();
}

async function throughStream(frames: number): Promise<void> {
  let number = 0;
  const call = client['Send']?.({ frames }) as AsyncIterable<Frame>;
  for await (const { content } of call) check(number++, content);
  if (number !== frames) throw new Error(`${number} frames came`);
}

/** Prints how fast the frames came. Returns how many came in a second. */
async function measure(how: string, frames: number, run: (frames: number) => Promise<void>): Promise<number> {
  // The first frames bring code and memory up to temperature.
  await run(Math.ceil(frames / 10));
  const begin = performance.now();
  await run(frames);
  const rate = frames / ((performance.now() - begin) / 1000);
  const mebibytes = (rate * FRAME_BYTES) / MIB;
  console.log(`${how}: ${frames} frames, ${rate.toFixed(0)} in a second, ${mebibytes.toFixed(0)} MiB/s`);
  return rate;
}

const memory = await measure('shared memory and an eventfd', FRAMES.memory, throughMemory);
const stream = await measure('a stream of gRPC', FRAMES.stream, throughStream);
console.log(`ratio: ${(memory / stream).toFixed(1)}`);

client.close();
producer.stdin?.end();
await once(producer, 'exit');
