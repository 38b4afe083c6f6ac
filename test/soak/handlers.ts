/** The handlers of the service of a soak: they receive what a request names, and send what it asks for. */
import { setTimeout as delay } from 'node:timers/promises';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { type Book, reasonOf } from './book.js';
import { bodyOf, isBody, type MessagePlan, type SoakMessage } from './service.js';
import type { Transfer } from './transfer.js';

type Fds = grpcfd.FdServerCall;

/** A wait for it ends with the call. */
const NEVER_SENT = 'inode://0/0';

export class Handlers {
  /** Handlers that run now. */
  running = 0;
  readonly #book: Book;
  readonly #transfer: Transfer;

  constructor(book: Book, transfer: Transfer) {
    this.#book = book;
    this.#transfer = transfer;
  }

  get implementation(): grpc.UntypedServiceImplementation {
    return {
      unary: grpcfd.handler((call: grpc.ServerUnaryCall<SoakMessage, SoakMessage>, fds) =>
        this.#run(async () => this.#lastOf(await this.#answer(fds, call.request, true))),
      ),
      clientStream: grpcfd.handler((call: grpc.ServerReadableStream<SoakMessage, SoakMessage>, fds) =>
        this.#run(async () => {
          let replies: SoakMessage[] = [];
          let isFirst = true;
          for await (const request of call) {
            replies = await this.#answer(fds, request, isFirst);
            isFirst = false;
          }
          return this.#lastOf(replies);
        }),
      ),
      serverStream: grpcfd.handler((call: grpc.ServerWritableStream<SoakMessage, SoakMessage>, fds) =>
        this.#run(async () => {
          await this.#receive(fds, call.request, true);
          for (const plan of call.request.replies ?? []) {
            call.write(await this.#reply(fds, call.request, plan));
            await pause(call.request);
          }
        }),
      ),
      bidi: grpcfd.handler((call: grpc.ServerDuplexStream<SoakMessage, SoakMessage>, fds) =>
        this.#run(async () => {
          let isFirst = true;
          for await (const request of call) {
            for (const reply of await this.#answer(fds, request, isFirst)) call.write(reply);
            isFirst = false;
          }
        }),
      ),
    };
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    this.running++;
    try {
      const result = await work();
      this.#book.count('handlers that ended well');
      return result;
    } catch (error) {
      this.#book.count(`handlers that failed: ${reasonOf(error)}`);
      throw error;
    } finally {
      this.running--;
    }
  }

  async #answer(fds: Fds, request: SoakMessage, isFirst: boolean): Promise<SoakMessage[]> {
    await this.#receive(fds, request, isFirst);
    await pause(request);
    const replies: SoakMessage[] = [];
    for (const plan of request.replies ?? []) replies.push(await this.#reply(fds, request, plan));
    return replies;
  }

  async #receive(fds: Fds, request: SoakMessage, isFirst: boolean): Promise<void> {
    if (request.hangs === true) await fds.recvFd(NEVER_SENT);
    if (!isBody(request.body)) this.#book.problem('wrong bytes', `in a request of ${request.id}`);
    if (request.inOrder && isFirst) await this.#transfer.takeInOrder(fds, request.files);
    else await this.#transfer.take(fds, request.files);
  }

  async #reply(fds: Fds, { id }: SoakMessage, { items, bytes }: MessagePlan): Promise<SoakMessage> {
    return { id, files: await this.#transfer.give(fds, items), body: bodyOf(bytes) };
  }

  #lastOf(replies: SoakMessage[]): SoakMessage {
    const last = replies.at(-1);
    if (last === undefined) throw new Error('no request asked for a reply');
    return last;
  }
}

async function pause({ delayMs = 0 }: SoakMessage): Promise<void> {
  if (delayMs > 0) await delay(delayMs);
}
