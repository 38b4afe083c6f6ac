/** A connection of an attacker, which puts any bytes and any descriptors on it. It is as fast as a peer can be. */
import { constants } from 'node:os';
import { setImmediate as turn } from 'node:timers/promises';
import { native, SocketHandle } from '#src/native/binding.js';
import type { SocketHandle as Handle } from '#src/native/bridge-types.js';
import { packFds } from '#src/native/fd-lists.js';
import { arrivals } from '#src/socket/arrivals.js';
import { FRAME, frame, PREFACE, settings, windowUpdate } from '../support/http2-frames.js';
import type { Attack } from './messages.js';

const { EAGAIN } = constants.errno;
/** The most that the kernel takes in one message. */
export const FULL_MESSAGE = 253;
/** Bytes that a receiver has to ignore. */
export const NO_FRAME = frame(FRAME.UNKNOWN);
/** What comes is thrown away. */
const ignored = Buffer.allocUnsafeSlow(64 * 1024);

export class RawConnection {
  /** How many descriptors the kernel took. The next one has the number after it. */
  sent = 0;
  readonly #handle: Handle;
  readonly #attack: Attack;
  #hasEnded = false;
  #nextStream = 1;

  constructor(fd: number, attack: Attack) {
    this.#handle = new SocketHandle(fd, () => {});
    this.#attack = attack;
    attack.connections++;
  }

  /** Waits for a place in the backlog. */
  static async connect(address: string, attack: Attack): Promise<RawConnection> {
    const name = Buffer.from(address.slice('unix:'.length));
    for (;;) {
      try {
        return new RawConnection(native.connectUnix(name), attack);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
        await turn();
      }
    }
  }

  /** The same, and says hello. */
  static async connectHttp2(address: string, attack: Attack): Promise<RawConnection> {
    const connection = await RawConnection.connect(address, attack);
    await connection.write(Buffer.concat([PREFACE, settings(), windowUpdate(0, 2 ** 30)]));
    return connection;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  nextStream(): number {
    const id = this.#nextStream;
    this.#nextStream += 2;
    return id;
  }

  /**
   * Puts the descriptors on the first of the bytes. They stay the caller's. It waits while the kernel takes no more, and reads
   * meanwhile, unless `reads` is false. False: the connection has ended.
   */
  async write(bytes: Uint8Array, fds: readonly number[] = [], reads = true): Promise<boolean> {
    let rest = bytes;
    let count = fds.length;
    while (rest.length > 0 && !this.#hasEnded) {
      if (reads) this.drain();
      const taken = this.#handle.send([rest], rest.length, packFds(fds), count);
      if (taken >= 0) {
        this.#attack.messages++;
        this.#attack.descriptors += count;
        this.sent += count;
        rest = rest.subarray(taken);
        count = 0;
      } else if (taken === -EAGAIN) await turn();
      else this.#hasEnded = true;
    }
    return !this.#hasEnded;
  }

  /** Reads all that is there. */
  drain(): void {
    while (!this.#hasEnded) {
      const count = this.#handle.receive(ignored, 0, arrivals.memory);
      native.closeAll(arrivals.take());
      if (count === 0 || (count < 0 && count !== -EAGAIN)) this.#hasEnded = true;
      if (count <= 0) return;
    }
  }

  close(): void {
    this.#hasEnded = true;
    this.#handle.close();
  }
}
