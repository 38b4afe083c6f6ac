/** One end of an HTTP/2 connection that does what a script says, right or wrong. */
import type { Socket } from 'node:net';
import { RECONNECT_MS } from '../library.js';
import type { Run } from '../run.js';
import {
  ACK,
  DATA,
  END_STREAM,
  encode,
  type Frame,
  FrameParser,
  GOAWAY,
  HEADERS,
  PING,
  type ReceivedFrame,
  RST_STREAM,
  raw,
  SETTINGS,
  uint32,
  WINDOW_UPDATE,
} from './frames.js';
import type { Automatic, Sight, Step } from './steps.js';

export class RawConnection {
  readonly #run: Run;
  readonly #name: string;
  readonly #socket: Socket;
  readonly #automatic: Automatic;
  readonly #seen = new Set<Sight>();
  readonly #answered = new Set<number>();
  #queued: Buffer[] = [];
  /** Whether this end has sent its SETTINGS. */
  #introduced = false;
  #cutting = false;
  readonly #held: Buffer[] = [];
  /** Automatic answers from before that: the peer would take them for an error. */
  #early: Buffer[] = [];
  #sound = false;
  closed = false;

  constructor(run: Run, name: string, socket: Socket, side: 'client' | 'server', automatic: Automatic) {
    this.#run = run;
    this.#name = name;
    this.#socket = socket;
    this.#automatic = automatic;
    const onPreface = () => this.#see('preface');
    const parser = new FrameParser(side, onPreface, (frame) => this.#onFrame(frame));
    socket.on('data', (chunk) => {
      run.stir();
      parser.push(chunk);
    });
    // The script decides when this half ends, not Node.
    socket.allowHalfOpen = true;
    socket.on('end', () => this.#ended());
    socket.on('close', () => this.#ended());
    socket.on('error', () => {});
  }

  /** Whether that has been received. */
  has(sight: Sight): boolean {
    return this.#seen.has(sight);
  }

  async play(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      if (this.#socket.destroyed) return;
      await this.#take(step);
    }
    await this.#run.hesitate();
    await this.#flush([]);
  }

  /** From now on new calls are answered as they should be. Only for a server. */
  behave(): void {
    this.#sound = true;
    this.#socket.resume();
    for (const sight of this.#seen) {
      if (sight.startsWith('end ')) this.#answer(Number(sight.slice('end '.length)));
    }
  }

  send(...frames: Frame[]): void {
    for (const frame of frames) this.#queue(frame);
    const bytes = Buffer.concat(this.#queued);
    this.#queued = [];
    this.#write(bytes);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  unref(): void {
    this.#socket.unref();
  }

  async #take(step: Step): Promise<void> {
    if (step.do === 'frame') {
      this.#queue(step.frame);
      return;
    }
    await this.#run.hesitate();
    await this.#flush(step.do === 'flush' ? (step.cuts ?? []) : []);
    await this.#run.hesitate();
    switch (step.do) {
      case 'wait':
        await this.#run.until(() => this.closed || this.has(step.sight), 2);
        break;
      case 'turns':
        await this.#run.turns(step.count);
        break;
      case 'ms':
        await this.#run.ms(step.count);
        break;
      case 'pause':
        this.#socket.pause();
        break;
      case 'resume':
        this.#socket.resume();
        break;
      case 'end':
        this.#socket.end();
        break;
      case 'destroy':
        this.#socket.destroy();
        break;
    }
  }

  #queue(frame: Frame): void {
    this.#queued.push(encode(frame));
    if (frame.frame !== 'settings' || this.#introduced) return;
    this.#introduced = true;
    this.#queued.push(...this.#early);
  }

  #reply(...bytes: Buffer[]): void {
    if (this.#cutting) this.#held.push(...bytes);
    else if (this.#introduced) this.#write(Buffer.concat(bytes));
    else this.#early.push(...bytes);
  }

  async #flush(cuts: readonly number[]): Promise<void> {
    const bytes = Buffer.concat(this.#queued);
    this.#queued = [];
    let from = 0;
    // What is answered meanwhile would stand in the middle of a frame.
    this.#cutting = true;
    for (const cut of cuts) {
      const to = Math.floor((bytes.length * cut) / 1000);
      if (to <= from) continue;
      this.#write(bytes.subarray(from, to));
      from = to;
      await this.#run.turns(1);
    }
    this.#cutting = false;
    const held = Buffer.concat([bytes.subarray(from), ...this.#held.splice(0)]);
    if (held.length > 0) this.#write(held);
  }

  #write(bytes: Buffer): void {
    this.#run.stir();
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  #see(sight: Sight): void {
    this.#seen.add(sight);
  }

  #ended(): void {
    this.#run.stir();
    // A client may connect again.
    if (!this.closed) this.#run.expectTimer(RECONNECT_MS);
    this.closed = true;
    this.#see('closed');
  }

  #onFrame({ type, flags, stream, payload }: ReceivedFrame): void {
    switch (type) {
      case SETTINGS:
        if ((flags & ACK) !== 0) return;
        this.#see('settings');
        if (this.#automatic.settingsAck) this.#reply(encode({ frame: 'settings-ack' }));
        break;
      case PING:
        if ((flags & ACK) === 0 && this.#automatic.pingAck) this.#reply(raw(PING, ACK, 0, payload));
        break;
      case HEADERS:
        this.#see(`headers ${stream}`);
        this.#log(stream, 'HEADERS');
        break;
      case DATA:
        if (payload.length > 0) {
          this.#see(`data ${stream}`);
          if (this.#automatic.window) this.#giveWindow(stream, payload.length);
        }
        break;
      case RST_STREAM:
        this.#log(stream, `RST_STREAM ${payload.readUInt32BE(0)}`);
        break;
      case GOAWAY:
        this.#see('goaway');
        this.#run.log(this.#name, `GOAWAY ${payload.readUInt32BE(4)}`);
        break;
    }
    if ((type === HEADERS || type === DATA) && (flags & END_STREAM) !== 0) {
      this.#see(`end ${stream}`);
      this.#log(stream, 'END_STREAM');
      if (this.#sound) this.#answer(stream);
    }
  }

  #log(stream: number, event: string): void {
    this.#run.log(`${this.#name} stream ${stream}`, event);
  }

  #giveWindow(stream: number, by: number): void {
    const update = (id: number) => raw(WINDOW_UPDATE, 0, id, uint32(by));
    this.#reply(update(0), update(stream));
  }

  #answer(stream: number): void {
    if (this.#answered.has(stream)) return;
    this.#answered.add(stream);
    this.send(
      { frame: 'response', stream },
      { frame: 'message', stream, size: 3 },
      { frame: 'trailers', stream, status: 0 },
    );
  }
}
