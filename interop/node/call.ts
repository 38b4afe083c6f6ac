/** One call of a Node client, which transfers the files of one row in one direction. */
import type * as grpc from '@grpc/grpc-js';
import type * as grpcfd from 'grpcfd';
import { add, Receiving, Sending } from './handover.js';
import type { ExchangeClient, Kind, Outcome, Reply, Request } from './protocol.js';
import type { Rpc } from './row.js';
import type { Sample } from './samples.js';

export interface CallParameters {
  readonly client: ExchangeClient;
  readonly credentials: grpcfd.FdCallCredentials;
  readonly deadline: Date;
  readonly receiveMs: number;
  readonly metadata: grpc.Metadata;
}

/** Sends the files to the server. Resolves to the outcome that the server reports. */
export class SendingCall {
  readonly sending: Sending;
  readonly #parameters: CallParameters;
  readonly #samples: readonly Sample[];
  readonly #send: boolean;

  /** @param send false when the files have already been sent, and the messages only name them */
  constructor(parameters: CallParameters, samples: readonly Sample[], send: boolean) {
    this.#parameters = parameters;
    this.#samples = samples;
    this.#send = send;
    this.sending = new Sending(parameters.credentials);
  }

  async run(rpc: Rpc): Promise<Outcome> {
    const total: Outcome = { received: 0, failures: [] };
    const addReply = (reply: Reply) => add(total, reply.outcome ?? { received: 0, failures: [] });
    const { client, metadata } = this.#parameters;
    const options = callOptions(this.#parameters);
    const one = (turn: number) => this.#give(this.#samples.slice(turn, turn + 1));
    switch (rpc) {
      case 'unary': {
        const request = this.#give(this.#samples);
        addReply(await reply((callback) => client.unary(request, metadata, options, callback)));
        break;
      }
      case 'serverStream': {
        const stream = client.serverStream(this.#give(this.#samples), metadata, options);
        for await (const each of stream as AsyncIterable<Reply>) addReply(each);
        break;
      }
      case 'clientStream': {
        // The first file is sent before the stream starts, the others while it runs.
        const first = one(0);
        addReply(
          await reply((callback) => {
            const stream = client.clientStream(metadata, options, callback);
            stream.write(first);
            for (let turn = 1; turn < this.#samples.length; turn++) stream.write(one(turn));
            stream.end();
          }),
        );
        break;
      }
      case 'bidi': {
        const start = () => client.bidi(metadata, options);
        for await (const each of conversation(start, this.#samples.length, one)) addReply(each);
      }
    }
    return total;
  }

  #give(samples: readonly Sample[]): Request {
    return {
      files: samples.map((sample) => (this.#send ? this.sending.send(sample) : sample.message)),
      receiveMs: this.#parameters.receiveMs,
    };
  }
}

/** Makes the server send files. Resolves to the outcome at this end. */
export async function receivingCall(
  parameters: CallParameters,
  rpc: Rpc,
  kind: Kind,
  count: number,
): Promise<Outcome> {
  const { client, credentials, metadata, receiveMs } = parameters;
  const receiving = new Receiving(credentials, receiveMs);
  const options = callOptions(parameters);
  const order: Request = { order: { kind, count }, receiveMs };
  const receive = ({ files = [] }: Reply) => receiving.receive(files);
  switch (rpc) {
    case 'unary':
      await receive(await reply((callback) => client.unary(order, metadata, options, callback)));
      break;
    case 'clientStream':
      await receive(await reply((callback) => client.clientStream(metadata, options, callback).end(order)));
      break;
    case 'serverStream':
      for await (const each of client.serverStream(order, metadata, options) as AsyncIterable<Reply>) {
        await receive(each);
      }
      break;
    case 'bidi': {
      const start = () => client.bidi(metadata, options);
      const one = { order: { kind, count: 1 }, receiveMs };
      for await (const each of conversation(start, count, () => one)) await receive(each);
    }
  }
  return receiving.outcome;
}

export function reply<T>(call: (callback: grpc.requestCallback<T>) => unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    call((error, value) => {
      if (value === undefined || error !== null) reject(error);
      else resolve(value);
    });
  });
}

/** Sends a request and waits for its reply before the next request. The first request is made before the stream starts. */
async function* conversation(
  start: () => grpc.ClientDuplexStream<Request, Reply>,
  count: number,
  question: (turn: number) => Request,
): AsyncGenerator<Reply> {
  const first = question(0);
  const stream = start();
  const answers = (stream as AsyncIterable<Reply>)[Symbol.asyncIterator]();
  stream.write(first);
  for (let turn = 1; ; turn++) {
    const answer = await answers.next();
    if (answer.done === true) return;
    yield answer.value;
    if (turn < count) stream.write(question(turn));
    else stream.end();
  }
}

function callOptions({ credentials, deadline }: CallParameters): grpc.CallOptions {
  return credentials.options({ deadline });
}
