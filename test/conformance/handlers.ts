/** Handlers of a server as a script plans them, with a record of how each call went for its handler. */
import type { EventEmitter } from 'node:events';
import * as grpc from '@grpc/grpc-js';
import type { Kind } from '../support/kinds.js';
import { bytesOf, CALL_KEY, PATHS } from './calls.js';
import { PlannedError } from './planned-error.js';
import type { Run } from './run.js';

export type HandlerCallback = 'start' | 'request' | 'end' | 'cancelled';

/** What user code does in the middle of a callback. */
export type HandlerAct = 'throw' | 'tryShutdown' | 'forceShutdown' | 'destroy';

export interface HandlerPlan {
  /** Sizes of the messages; a call with one reply takes the first. */
  readonly replies: readonly number[];
  readonly finish: 'ok' | 'error' | 'never';
  /** When it answers: when the last request has come, or so many turns after its start. */
  readonly when: 'last request' | number;
  readonly metadataFirst?: boolean;
  readonly act?: { readonly in: HandlerCallback; readonly what: HandlerAct };
  /** Does not read the requests of a stream. */
  readonly deaf?: boolean;
}

type Call =
  | grpc.ServerUnaryCall<Buffer, Buffer>
  | grpc.ServerReadableStream<Buffer, Buffer>
  | grpc.ServerWritableStream<Buffer, Buffer>
  | grpc.ServerDuplexStream<Buffer, Buffer>;

const SOUND: HandlerPlan = { replies: [3], finish: 'ok', when: 'last request' };

/** Adds the handlers of all four kinds. A call named by a number gets the plan of that number; any other a sound answer. */
export function addHandlers(server: grpc.Server, run: Run, plans: readonly HandlerPlan[]): void {
  const handle = (kind: Kind, call: Call, callback?: grpc.sendUnaryData<Buffer>) => {
    const [name = 'unnamed'] = call.metadata.get(CALL_KEY);
    const plan = plans[Number(name) % plans.length] ?? SOUND;
    new LoggedHandler(run, server, kind, call, plan, `handler ${String(name)}`, callback);
  };
  const definition = Object.fromEntries(
    Object.entries(PATHS).map(([kind, path]) => [kind, definitionOf(kind as Kind, path)]),
  );
  server.addService(definition, {
    unary: (call: Call, callback: grpc.sendUnaryData<Buffer>) => handle('unary', call, callback),
    clientStream: (call: Call, callback: grpc.sendUnaryData<Buffer>) =>
      handle('clientStream', call, callback),
    serverStream: (call: Call) => handle('serverStream', call),
    bidi: (call: Call) => handle('bidi', call),
  });
}

export function definitionOf(kind: Kind, path: string): grpc.MethodDefinition<Buffer, Buffer> {
  const asBytes = (bytes: Buffer) => bytes;
  return {
    path,
    requestStream: kind === 'clientStream' || kind === 'bidi',
    responseStream: kind === 'serverStream' || kind === 'bidi',
    requestSerialize: asBytes,
    requestDeserialize: asBytes,
    responseSerialize: asBytes,
    responseDeserialize: asBytes,
  };
}

class LoggedHandler {
  readonly #run: Run;
  readonly #server: grpc.Server;
  readonly #call: Call;
  readonly #plan: HandlerPlan;
  readonly #subject: string;
  readonly #callback: grpc.sendUnaryData<Buffer> | undefined;

  constructor(
    run: Run,
    server: grpc.Server,
    kind: Kind,
    call: Call,
    plan: HandlerPlan,
    subject: string,
    callback: grpc.sendUnaryData<Buffer> | undefined,
  ) {
    this.#run = run;
    this.#server = server;
    this.#call = call;
    this.#plan = plan;
    this.#subject = subject;
    this.#callback = callback;
    const emitter: EventEmitter = call;
    emitter.on('cancelled', () => this.#saw('cancelled'));
    emitter.on('error', (error: Partial<Error>) =>
      run.log(subject, `error ${error.message ?? 'of the handler'}`),
    );
    const streams = kind === 'clientStream' || kind === 'bidi';
    if (streams && !plan.deaf) this.#read(call as grpc.ServerReadableStream<Buffer, Buffer>);
    if (plan.metadataFirst) call.sendMetadata(new grpc.Metadata());
    if (plan.when !== 'last request') void this.#run.turns(plan.when).then(() => this.#answer());
    this.#saw('start', kind + ('request' in call ? ` ${call.request?.length}` : ''));
    if (plan.when === 'last request' && !(streams && !plan.deaf)) this.#answer();
  }

  #read(call: grpc.ServerReadableStream<Buffer, Buffer>): void {
    call.on('data', (message: Buffer) => this.#saw('request', String(message.length)));
    call.on('end', () => {
      if (this.#plan.when === 'last request') this.#answer();
      this.#saw('end');
    });
  }

  #answer(): void {
    const { finish, replies } = this.#plan;
    if (finish === 'never') return;
    const failure = { code: grpc.status.DATA_LOSS, details: 'the handler failed' };
    if (this.#callback !== undefined) {
      if (finish === 'error') this.#callback(failure);
      else this.#callback(null, bytesOf(replies[0] ?? 0));
      return;
    }
    const call = this.#call as grpc.ServerWritableStream<Buffer, Buffer>;
    for (const size of replies) call.write(bytesOf(size));
    if (finish === 'error') call.emit('error', failure);
    else call.end();
  }

  #saw(callback: HandlerCallback, what = ''): void {
    this.#run.log(this.#subject, `${callback} ${what}`.trimEnd());
    if (this.#plan.act?.in === callback) this.#act(this.#plan.act.what);
  }

  #act(what: HandlerAct): void {
    switch (what) {
      case 'throw':
        throw new PlannedError(this.#run, this.#subject);
      case 'tryShutdown':
        this.#server.tryShutdown(() => this.#run.log(this.#subject, 'server shut down'));
        break;
      case 'forceShutdown':
        this.#server.forceShutdown();
        break;
      case 'destroy':
        // A unary call has no stream.
        if ('destroy' in this.#call) this.#call.destroy();
        break;
    }
  }
}
