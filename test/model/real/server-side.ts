/** The server of histories: its handlers do nothing but what the history tells them. */
import { closeSync } from 'node:fs';
import type { ServerHttp2Session } from 'node:http2';
import * as grpc from '@grpc/grpc-js';
import type { FdServerCall, FdTransceiver } from 'grpcfd';
import { bridgedSocketOf } from '#src/grpc/internals/bridged-socket.js';
import { streamOf } from '#src/grpc/internals/http2-server.js';
import type { Message, TestHandlers } from '../../support/service.js';
import { Count } from './count.js';
import { Hands, type Outcome, type Receive } from './hands.js';
import { open, type ToSend } from './pipes.js';

/** Names one attempt of a call, from 1 up. */
export interface AttemptId {
  readonly call: string;
  readonly attempt: number;
}

/** How a history reaches a server, which may be in another process. */
export type ServerControl = {
  readonly [Method in keyof ServerSide as ServerSide[Method] extends (...args: never[]) => Promise<unknown>
    ? Method
    : never]: ServerSide[Method];
};

export interface Names {
  readonly ref: string;
  readonly url: string;
}

/** A Go-like server has less than a transceiver. */
export type ServerTransceiver = Pick<FdTransceiver, 'sendFd' | 'recvFd'> & Partial<FdServerCall>;

type AnyCall = grpc.ServerUnaryCall<Message, Message> | grpc.ServerDuplexStream<Message, Message>;

class Attempt {
  readonly messages = new Count();
  readonly ended = new Count();

  constructor(
    readonly call: AnyCall,
    readonly fds: ServerTransceiver,
    /** Where the method has a single reply. */
    readonly callback: grpc.sendUnaryData<Message> | undefined,
    readonly session: ServerHttp2Session | undefined,
  ) {}
}

/** The value of `call` in the request of a call that is answered at once. */
export const PING = 'ping';

export class ServerSide {
  readonly #transceiverOf: (call: object) => ServerTransceiver;
  readonly #attempts = new Map<string, Attempt[]>();
  readonly #started = new Map<string, Count>();
  readonly #hands = new Hands();

  constructor(transceiverOf: (call: object) => ServerTransceiver) {
    this.#transceiverOf = transceiverOf;
  }

  readonly handlers: Required<TestHandlers> = {
    unary: (call, callback) => this.#begin(call, call.request, callback),
    serverStream: (call) => this.#begin(call as unknown as AnyCall, call.request),
    clientStream: (call, callback) => this.#read(call as unknown as AnyCall, callback),
    bidi: (call) => this.#read(call),
  };

  /** Resolves when the handler of that attempt runs. */
  async started(id: AttemptId): Promise<void> {
    await this.#startsOf(id.call).reach(id.attempt);
  }

  /** Resolves when so many messages have come after the first. */
  async messages(id: AttemptId, count: number): Promise<void> {
    await this.#attempt(id).messages.reach(count);
  }

  async ended(id: AttemptId): Promise<void> {
    await this.#attempt(id).ended.reach(1);
  }

  async headers(id: AttemptId): Promise<void> {
    this.#attempt(id).call.sendMetadata(new grpc.Metadata());
  }

  /** Sends descriptors with a message, which is the reply where the method has only one. */
  async message(id: AttemptId, what: readonly ToSend[], isLast: boolean): Promise<Names[]> {
    const { call, fds, callback } = this.#attempt(id);
    const names = what.map((each) => sendAndClose(fds, each));
    if (callback !== undefined) callback(null, {});
    else {
      const stream = call as grpc.ServerDuplexStream<Message, Message>;
      stream.write({});
      if (isLast) stream.end();
    }
    return names;
  }

  async fail(id: AttemptId, code: grpc.status): Promise<void> {
    const { call, callback } = this.#attempt(id);
    const error = { code, details: 'as the history wants it' };
    if (callback !== undefined) callback(error);
    else call.emit('error', error);
  }

  receive(id: AttemptId, what: Receive): Promise<Outcome> {
    return this.#hands.receive(this.#attempt(id).fds, what);
  }

  receiveSeveral(
    id: AttemptId,
    names: readonly string[],
    what: Pick<Receive, 'file' | 'keep'>,
  ): Promise<Outcome> {
    return this.#hands.receiveSeveral(this.#attempt(id).fds as FdTransceiver, names, what);
  }

  receiveAll(id: AttemptId, file: number): Promise<Outcome> {
    return this.#hands.receiveAll(this.#attempt(id).fds as FdServerCall, file);
  }

  outcome(file: number): Promise<Outcome> {
    return this.#hands.outcome(file);
  }

  abort(file: number): Promise<void> {
    return this.#hands.abort(file);
  }

  duplicate(file: number, duplicate: number): Promise<Outcome> {
    return this.#hands.duplicate(file, duplicate);
  }

  close(file: number): Promise<void> {
    return this.#hands.close(file);
  }

  /** Ends the connection of that attempt, which may have ended before. */
  async kill(id: AttemptId): Promise<void> {
    const { session } = this.#attempt(id);
    if (session !== undefined && !session.destroyed) bridgedSocketOf(session)?.destroy();
  }

  descriptors(): Promise<string[]> {
    return this.#hands.descriptors();
  }

  /** The end of a history. */
  async forget(): Promise<void> {
    await this.#hands.closeAll();
    this.#attempts.clear();
    this.#started.clear();
  }

  #read(call: AnyCall, callback?: grpc.sendUnaryData<Message>): void {
    let attempt: Attempt | undefined;
    call.on('error', () => {});
    call.on('data', (message: Message) => {
      if (attempt === undefined) attempt = this.#begin(call, message, callback);
      else attempt.messages.add();
    });
  }

  #begin(call: AnyCall, request: Message, callback?: grpc.sendUnaryData<Message>): Attempt {
    const stream = streamOf(call);
    const attempt = new Attempt(
      call,
      this.#transceiverOf(call),
      callback,
      stream?.session as ServerHttp2Session,
    );
    const id = String(request['call']);
    if (id === PING) {
      callback?.(null, {});
      return attempt;
    }
    call.on('error', () => {});
    if (stream === undefined || stream.closed) attempt.ended.add();
    else stream.once('close', () => attempt.ended.add());
    const attempts = this.#attempts.get(id);
    if (attempts === undefined) this.#attempts.set(id, [attempt]);
    else attempts.push(attempt);
    this.#startsOf(id).add();
    return attempt;
  }

  #startsOf(call: string): Count {
    let count = this.#started.get(call);
    if (count === undefined) {
      count = new Count();
      this.#started.set(call, count);
    }
    return count;
  }

  #attempt({ call, attempt }: AttemptId): Attempt {
    const found = this.#attempts.get(call)?.[attempt - 1];
    if (found === undefined) throw new Error(`attempt ${attempt} of call ${call} has not started`);
    return found;
  }
}

export function sendAndClose(fds: Pick<FdTransceiver, 'sendFd'>, what: ToSend): Names {
  const fd = open(what);
  try {
    const { ref, url } = fds.sendFd(fd);
    return { ref, url };
  } finally {
    closeSync(fd);
  }
}
