/** A call of a history, at its client. */
import type * as grpc from '@grpc/grpc-js';
import type { Kind } from '../../support/kinds.js';
import { type Message, testService } from '../../support/service.js';
import { Count } from './count.js';

export type Status = Pick<grpc.StatusObject, 'code' | 'details'>;

export interface RunningCall {
  /** The response headers have come. */
  readonly headers: Count;
  /** The messages that have come. */
  readonly messages: Count;
  readonly status: Promise<Status>;
  /** Another message after the first. */
  write(): void;
  cancel(): void;
}

type AnyCall = grpc.ClientUnaryCall & Partial<grpc.ClientDuplexStream<Message, Message>>;

/** With grpc-js. */
export class ClientCall implements RunningCall {
  readonly headers = new Count();
  readonly messages = new Count();
  readonly status: Promise<Status>;
  readonly #call: AnyCall;

  /** @param id the value of `call` in its first message */
  constructor(client: grpc.Client, kind: Kind, id: string, options: grpc.CallOptions) {
    const call = start(client, kind, { call: id }, options, () => this.messages.add()) as AnyCall;
    this.#call = call;
    call.on('metadata', () => this.headers.add());
    call.on('error', () => {});
    call.on('data', () => this.messages.add());
    this.status = new Promise((resolve) => call.on('status', resolve));
  }

  write(): void {
    this.#call.write?.({});
  }

  cancel(): void {
    this.#call.cancel();
  }
}

function start(
  client: grpc.Client,
  kind: Kind,
  request: Message,
  options: grpc.CallOptions,
  onReply: () => void,
) {
  const { path, requestSerialize, responseDeserialize } = testService[kind];
  const replied = (error: unknown) => {
    if (error === null) onReply();
  };
  switch (kind) {
    case 'unary':
      return client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, options, replied);
    case 'serverStream':
      return client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, options);
    case 'clientStream': {
      const call = client.makeClientStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        options,
        replied,
      );
      call.write(request);
      return call;
    }
    case 'bidi': {
      const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, options);
      call.write(request);
      return call;
    }
  }
}
