/** The Node side of the service of interop.proto. */
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { Receiving, Sending } from './handover.js';
import type { File, Kind, Outcome, Reply, Request } from './protocol.js';
import type { SampleSet } from './samples.js';
import { checkToken, type Security } from './security.js';

/** Makes a set of samples that outlives its call, because a client examines received files after its call has ended. */
export type SetMaker = () => Promise<SampleSet>;

export function exchange(security: Security, newSet: SetMaker): grpc.UntypedServiceImplementation {
  const begin = (call: { readonly metadata: grpc.Metadata }, fds: grpcfd.FdTransceiver, first: Request) => {
    checkToken(security, call.metadata);
    return new Visit(fds, first.receiveMs, newSet);
  };
  return {
    Unary: grpcfd.handler<Request, Reply>(async (call: grpc.ServerUnaryCall<Request, Reply>, fds) =>
      begin(call, fds, call.request).answer(call.request),
    ),
    ClientStream: grpcfd.handler<Request, Reply>(
      async (call: grpc.ServerReadableStream<Request, Reply>, fds) => {
        let visit: Visit | undefined;
        const files: File[] = [];
        for await (const request of call as AsyncIterable<Request>) {
          visit ??= begin(call, fds, request);
          const reply = await visit.answer(request);
          files.push(...(reply.files ?? []));
        }
        return { files, outcome: visit?.outcome ?? null };
      },
    ),
    ServerStream: grpcfd.handler<Request, Reply>(
      async (call: grpc.ServerWritableStream<Request, Reply>, fds) => {
        const { files = [], order } = call.request;
        const visit = begin(call, fds, call.request);
        if (files.length > 0) call.write({ outcome: await visit.receive(files) });
        for (let sent = 0; sent < (order?.count ?? 0); sent++) {
          call.write({ files: [await visit.send(order?.kind)] });
        }
      },
    ),
    Bidi: grpcfd.handler<Request, Reply>(async (call: grpc.ServerDuplexStream<Request, Reply>, fds) => {
      let visit: Visit | undefined;
      // `for await` on the call itself destroys it at the end of the requests, and the status is never sent.
      const requests = call.iterator({ destroyOnReturn: false }) as AsyncIterable<Request>;
      for await (const request of requests) {
        visit ??= begin(call, fds, request);
        call.write(await visit.answer(request));
      }
    }),
  };
}

/** The files that one call sends and receives. */
class Visit {
  readonly #sending: Sending;
  readonly #receiving: Receiving;
  readonly #newSet: SetMaker;
  #set: Promise<SampleSet> | undefined;

  /** The time to receive runs from the first request and covers the whole call. */
  constructor(fds: grpcfd.FdTransceiver, receiveMs: number, newSet: SetMaker) {
    this.#sending = new Sending(fds);
    this.#receiving = new Receiving(fds, receiveMs);
    this.#newSet = newSet;
  }

  get outcome(): Outcome {
    return this.#receiving.outcome;
  }

  async answer({ files = [], order }: Request): Promise<Reply> {
    const outcome = await this.receive(files);
    const sent: File[] = [];
    while (sent.length < (order?.count ?? 0)) sent.push(await this.send(order?.kind));
    return { files: sent, outcome };
  }

  receive(files: readonly File[]): Promise<Outcome> {
    return this.#receiving.receive(files);
  }

  async send(kind: Kind | undefined): Promise<File> {
    if (kind === undefined) throw new Error('an order without a kind of file');
    this.#set ??= this.#newSet();
    const set = await this.#set;
    return this.#sending.send(await set.make(kind));
  }
}
