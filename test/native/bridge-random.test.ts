// Random interleavings of what Node, its user and the peer do to a connection. All bytes come, in order, with their descriptors, and the
// event loop rests when nobody can go on. GRPCFD_SEED repeats a run that failed.
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { closeAll, native } from '#src/native/binding.js';
import type { BridgedStream } from '#src/socket/bridged-stream.js';
import { bridged, handleOf, RawPeer, turns } from '../support/bridged.js';
import { trackDescriptors } from '../support/fd-table.js';
import { type Random, randomFrom, seedOfThisRun } from '../support/random.js';
import { comesToRest } from '../support/rest.js';
import { contentOf, fileWith } from '../support/temporary.js';
import { within } from '../support/until.js';

trackDescriptors();

const RUNS = 40;
const HANG_MS = 20_000;
/** Node is not asked to keep more than this. */
const MOST_WAITING = 3_000_000;

/** The byte at each place of what Node writes. */
function byteAt(place: number): number {
  return (Math.imul(place, 2654435761) >>> 13) & 0xff;
}

class Run {
  readonly #random: Random;
  readonly #socket: Socket;
  readonly #stream: BridgedStream;
  readonly #peer: RawPeer;
  readonly #largest: number;
  #written = 0;
  #received = 0;
  #sentByPeer = 0;
  #read = 0;
  #ended = false;
  #peerSawEnd = false;
  readonly #queued: string[] = [];
  readonly #arrived: string[] = [];
  #settled = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#largest = [3_000, 60_000, 300_000][random(3)] ?? 0;
    const [near, far] = native.socketPair();
    this.#peer = new RawPeer(far);
    const { socket, stream } = bridged(near, { allowHalfOpen: true });
    this.#socket = socket;
    this.#stream = stream;
    socket.on('data', (bytes: Buffer) => {
      this.#read += bytes.length;
    });
  }

  async steps(): Promise<void> {
    this.#write(5);
    if (this.#random(4) > 0) await turns(5);
    for (let left = 20 + this.#random(200); left > 0; left--) await this.#step();
    await comesToRest();
  }

  async #step(): Promise<void> {
    const handle = handleOf(this.#socket);
    switch (this.#random(13)) {
      case 0:
      case 1:
      case 2:
        this.#write(1 + this.#random(this.#largest));
        break;
      case 3:
        this.#queue();
        this.#write(1 + this.#random(30_000));
        break;
      case 4:
        for (let left = this.#random(8); left > 0; left--) this.#take(1 + this.#random(65_536));
        break;
      case 5:
        for (let left = this.#random(20); left > 0; left--) this.#take(1 + this.#random(10));
        break;
      case 6:
        while (this.#random(6) > 0) this.#take(65_536);
        break;
      case 7:
        this.#sentByPeer += Math.max(this.#peer.send(Buffer.alloc(1 + this.#random(60_000))), 0);
        break;
      case 8:
        handle.readStop();
        break;
      case 9:
        handle.readStart();
        break;
      case 10:
        await delay(this.#random(3));
        break;
      case 11:
        if (this.#random(40) === 0) this.#end();
        else if (this.#random(3) === 0) this.#stream.reads = this.#random(2) === 0;
        break;
      case 12:
        await nextTurn();
        break;
    }
    assert.ok(this.#stream.bytesWritten <= this.#written);
    assert.ok(this.#stream.bytesWritten >= this.#received);
  }

  async finish(): Promise<void> {
    await within(HANG_MS, 'all that Node wrote comes', () => {
      this.#take(1 + this.#random(65_536));
      return this.#received === this.#written;
    });
    await within(HANG_MS, 'all descriptors are settled', () => this.#settled === this.#queued.length);
    assert.deepEqual(this.#arrived, this.#queued);
    assert.equal(this.#stream.bytesWritten, this.#written);
    await comesToRest();
    this.#stream.reads = true;
    handleOf(this.#socket).readStart();
    await within(HANG_MS, 'all that the peer sent comes', () => this.#read === this.#sentByPeer);
    this.#end();
    await within(HANG_MS, 'the end comes', () => {
      this.#take(65_536);
      return this.#peerSawEnd;
    });
    this.#peer.shutdown();
    await comesToRest();
  }

  #write(size: number): void {
    if (this.#ended || this.#socket.writableLength > MOST_WAITING) return;
    const from = this.#written;
    this.#written += size;
    this.#socket.write(Uint8Array.from({ length: size }, (_, index) => byteAt(from + index)));
  }

  #queue(): void {
    if (this.#ended || this.#socket.writableLength > MOST_WAITING) return;
    const content = `${this.#queued.length}`;
    this.#queued.push(content);
    const fd = fileWith(content);
    const settle = () => {
      this.#settled++;
      closeAll([fd]);
    };
    this.#stream.queueDescriptor({ fd, settle });
  }

  #end(): void {
    if (this.#random(2) === 0) this.#write(1 + this.#random(200_000));
    if (!this.#ended) this.#socket.end();
    this.#ended = true;
  }

  #take(size: number): void {
    const received = this.#peer.receive(size);
    this.#peerSawEnd ||= received === undefined;
    if (typeof received !== 'object') return;
    const from = this.#received;
    this.#received += received.bytes.length;
    const isWrong = received.bytes.findIndex((byte, index) => byte !== byteAt(from + index));
    assert.equal(isWrong, -1, 'the first wrong byte');
    this.#arrived.push(...received.fds.map(contentOf));
  }
}

test('whatever Node and its peer do to a connection, all comes in order, and the event loop comes to rest', async () => {
  const seed = seedOfThisRun();
  for (let run = 0; run < RUNS; run++) {
    try {
      const random = new Run(randomFrom(seed + run));
      await random.steps();
      await random.finish();
    } catch (cause) {
      throw new Error(`GRPCFD_SEED=${seed + run} fails: ${cause}`, { cause });
    }
  }
});
