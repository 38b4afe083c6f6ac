/** Calls of a client as a script plans them, with a record of all that their user sees. */
import { Readable, Writable } from 'node:stream';
import * as grpc from '@grpc/grpc-js';
import type { Kind } from '../support/kinds.js';
import { PlannedError } from './planned-error.js';
import type { Run } from './run.js';

export type ClientCallback = 'metadata' | 'data' | 'end' | 'status' | 'callback';
/** What user code does in the middle of a callback. */
export type ClientAct = 'throw' | 'close client' | 'pause' | 'write';

export interface CallPlan {
  readonly kind: Kind;
  /** Sizes of the request messages; a unary or server-streaming call sends the first. */
  readonly requests: readonly number[];
  /** When it starts, reckoned from the start of the call before it: turns, or when that one has ended. */
  readonly start: number | 'after the last';
  readonly deadlineMs?: number;
  readonly cancel?: { readonly on: 'start' | 'metadata' | 'data'; readonly turns: number };
  readonly act?: { readonly in: ClientCallback; readonly what: ClientAct };
  /** The client's half of the stream stays open. */
  readonly staysOpen?: boolean;
  /** Request messages are written a turn apart. */
  readonly slowly?: boolean;
  readonly waitForReady?: boolean;
}

export const PATHS: Readonly<Record<Kind, string>> = {
  unary: '/conformance.Test/Unary',
  clientStream: '/conformance.Test/ClientStream',
  serverStream: '/conformance.Test/ServerStream',
  bidi: '/conformance.Test/Bidi',
};

/** Names the call to the handler: the last part of the subject of the record. */
export const CALL_KEY = 'x-call';

const PAUSE_TURNS = 4;

const asBytes = (bytes: Buffer) => bytes;

/** A call that runs, or ran. */
export class LoggedCall {
  settled = false;
  readonly #run: Run;
  readonly #subject: string;
  readonly #plan: CallPlan;
  readonly #client: grpc.Client;
  #call: grpc.Call | undefined;

  /** Starts it. */
  constructor(run: Run, client: grpc.Client, plan: CallPlan, name: string | number) {
    this.#run = run;
    this.#plan = plan;
    this.#client = client;
    this.#subject = `call ${name}`;
    const metadata = new grpc.Metadata();
    metadata.set(CALL_KEY, String(name));
    if (plan.waitForReady) metadata.setOptions({ waitForReady: true });
    const options: grpc.CallOptions = {};
    if (plan.deadlineMs !== undefined) {
      options.deadline = Date.now() + plan.deadlineMs;
      run.expectTimer(plan.deadlineMs);
    }
    try {
      this.#start(metadata, options);
    } catch (error) {
      // What a client that was closed does.
      this.#saw('failed to start', String(error));
      this.settled = true;
    }
    if (plan.cancel?.on === 'start') this.#cancelLater();
  }

  cancel(): void {
    this.#call?.cancel();
  }

  /** Records that it has not ended, when nothing more is expected to happen. */
  noteIfPending(): void {
    if (!this.settled) this.#run.log(this.#subject, 'pending');
  }

  #start(metadata: grpc.Metadata, options: grpc.CallOptions): void {
    const client = this.#client;
    const { kind } = this.#plan;
    const path = PATHS[kind];
    const first = bytesOf(this.#plan.requests[0] ?? 0);
    const callback = (error: grpc.ServiceError | null, reply?: Buffer) => {
      this.settled = true;
      this.#saw('callback', error === null ? `reply ${reply?.length}` : describe(error));
    };
    switch (kind) {
      case 'unary':
        this.#watch(client.makeUnaryRequest(path, asBytes, asBytes, first, metadata, options, callback));
        break;
      case 'clientStream': {
        const call = client.makeClientStreamRequest(path, asBytes, asBytes, metadata, options, callback);
        this.#watch(call);
        void this.#write(call);
        break;
      }
      case 'serverStream': {
        const call = client.makeServerStreamRequest(path, asBytes, asBytes, first, metadata, options);
        this.#watch(call);
        this.#read(call);
        break;
      }
      case 'bidi': {
        const call = client.makeBidiStreamRequest(path, asBytes, asBytes, metadata, options);
        this.#watch(call);
        this.#read(call);
        void this.#write(call);
        break;
      }
    }
  }

  #watch(call: grpc.Call): void {
    this.#call = call;
    call.on('metadata', () => {
      if (this.#plan.cancel?.on === 'metadata') this.#cancelLater();
      this.#saw('metadata');
    });
    call.on('status', (status: grpc.StatusObject) => {
      this.settled = true;
      this.#saw('status', describe(status));
    });
  }

  #read(call: grpc.ClientReadableStream<Buffer>): void {
    call.on('data', (message: Buffer) => {
      if (this.#plan.cancel?.on === 'data') this.#cancelLater();
      this.#saw('data', String(message.length));
    });
    call.on('end', () => this.#saw('end'));
    call.on('error', (error: grpc.ServiceError) => this.#run.log(this.#subject, `error ${error.code}`));
  }

  async #write(call: grpc.ClientWritableStream<Buffer>): Promise<void> {
    call.on('error', () => {});
    for (const size of this.#plan.requests) {
      call.write(bytesOf(size));
      if (this.#plan.slowly) await this.#run.turns(1);
    }
    if (!this.#plan.staysOpen) call.end();
  }

  #cancelLater(): void {
    const turns = this.#plan.cancel?.turns ?? 0;
    if (turns === 0) this.cancel();
    else void this.#run.turns(turns).then(() => this.cancel());
  }

  #saw(callback: ClientCallback | 'failed to start', what = ''): void {
    this.#run.log(this.#subject, `${callback} ${what}`.trimEnd());
    if (this.#plan.act?.in === callback) this.#act(this.#plan.act.what);
  }

  #act(what: ClientAct): void {
    const call = this.#call;
    switch (what) {
      case 'throw':
        throw new PlannedError(this.#run, this.#subject);
      case 'close client':
        this.#client.close();
        break;
      case 'pause':
        if (!(call instanceof Readable)) return;
        call.pause();
        void this.#run.turns(PAUSE_TURNS).then(() => call.resume());
        break;
      case 'write':
        if (call instanceof Writable && !call.writableEnded) call.write(bytesOf(1));
        break;
    }
  }
}

/** Starts the calls of a client in their order; resolves when the last one has started. */
export async function startCalls(
  run: Run,
  client: grpc.Client,
  plans: readonly CallPlan[],
): Promise<LoggedCall[]> {
  const calls: LoggedCall[] = [];
  for (const [index, plan] of plans.entries()) {
    const last = calls.at(-1);
    if (plan.start !== 'after the last') await run.turns(plan.start);
    else if (last !== undefined) await run.until(() => last.settled);
    await run.hesitate();
    calls.push(new LoggedCall(run, client, plan, index));
  }
  return calls;
}

function describe({ code, details }: grpc.StatusObject | grpc.ServiceError): string {
  return `${code} ${details.replaceAll(TIMES, 'TIME')}`;
}

/** When something was, and how far a call got before its deadline, in the details of a status. */
const TIMES = /\d{4}-\d\d-\d\dT[\d:.]+Z|(?<=Deadline exceeded after ).*/g;

const made = new Map<number, Buffer>();

/** So many bytes, made once. */
export function bytesOf(size: number): Buffer {
  let bytes = made.get(size);
  if (bytes === undefined) {
    bytes = Buffer.alloc(size, 'x');
    made.set(size, bytes);
  }
  return bytes;
}
