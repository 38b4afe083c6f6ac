/** Makes one call of a soak as its plan says, and judges how it ended. */
import { setTimeout as delay } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { type Book, reasonOf } from './book.js';
import type { Task } from './messages.js';
import { type CallPlan, LONG_DEADLINE_MS } from './plan.js';
import { bodyOf, isBody, type SoakMessage, soakService } from './service.js';
import type { Transfer } from './transfer.js';

/**
 * What a connection that breaks makes of a call. After GOAWAY, Node.js reports no error, and grpc-js says INTERNAL. So it does if the call
 * writes just then.
 */
const BROKEN = [
  'UNAVAILABLE',
  'INTERNAL: Received RST_STREAM with code 0 (Call ended without gRPC status)',
  'INTERNAL: Write error: write after end',
];
/**
 * A server that ends a connection under TLS refuses calls that are on their way, and grpc-js repeats them. It cannot repeat a call with more
 * bytes than it keeps (`grpc.per_rpc_retry_buffer_size`).
 */
const REFUSED = 'UNAVAILABLE: Stream refused by server';
const KEPT_BYTES = 2 ** 20;
/** Why something is not received whose connection or call has ended. */
const ENDED: ReadonlySet<string> = new Set([
  'CONNECTION_CLOSED',
  'CALL_ENDED',
  'ABORTED',
  'CLOSED',
  'NO_DESCRIPTOR_SUPPORT',
]);

/** A call that runs. */
interface Started {
  readonly status: Promise<grpc.StatusObject>;
  cancel(): void;
  write(message: SoakMessage): void;
  end(): void;
}

export class Caller {
  readonly #task: Task;
  readonly #book: Book;
  readonly #transfer: Transfer;
  #calls = 0;
  #hangs: boolean;

  constructor(task: Task, book: Book, transfer: Transfer) {
    this.#task = task;
    this.#book = book;
    this.#transfer = transfer;
    this.#hangs = task.plants.includes('hang');
  }

  /** Resolves when the call and all that it brought is over, or hangs. */
  async run(client: grpc.Client, planned: CallPlan): Promise<void> {
    const plan = this.#hangs ? hanging(planned) : planned;
    this.#hangs = false;
    const late = new AbortController();
    const stage = { now: 'its descriptors are made', cancel: () => {} };
    const over = this.#exchange(client, plan, stage).then(
      () => true,
      (error: Error) => {
        this.#book.problem('unexpected outcome', `${plan.rpc}: ${error.stack}`);
        return true;
      },
    );
    const limit = delay(plan.deadlineMs + this.#task.hangMs, false, late);
    const isOver = await Promise.race([over, limit.catch(() => true)]);
    late.abort();
    if (isOver) return;
    this.#book.problem('hang', `${plan.rpc} call, ${plan.deadlineMs} ms: ${stage.now}`);
    stage.cancel();
    const after = new AbortController();
    await Promise.race([over, delay(this.#task.hangMs, undefined, after).catch(() => {})]);
    after.abort();
  }

  async #exchange(
    client: grpc.Client,
    plan: CallPlan,
    stage: { now: string; cancel: () => void },
  ): Promise<void> {
    using fds = grpcfd.callCredentials();
    const id = `${this.#task.name}-${++this.#calls}`;
    const replies: SoakMessage[] = [];
    const receives: Promise<unknown>[] = [];
    const receive = (reply: SoakMessage) => {
      const { files, body } = reply;
      if (!isBody(body)) this.#book.problem('wrong bytes', `in a reply of ${id}`);
      receives.push(this.#transfer.take(fds, files).catch((error) => error));
    };
    const requests = this.#requests(fds, id, plan);
    const first = (await requests.next()).value as SoakMessage;
    let answered = () => {};
    const call = this.#start(client, plan, fds, first, (reply) => {
      replies.push(reply);
      if (!plan.late) receive(reply);
      answered();
    });
    stage.now = 'it runs';
    stage.cancel = () => call.cancel();
    if (plan.cancelMs === 0) call.cancel();
    else if (plan.cancelMs !== undefined) setTimeout(() => call.cancel(), plan.cancelMs);
    const ended = call.status.then(() => {});
    const write = this.#writeRest(call, requests, plan, () =>
      Promise.race([ended, new Promise<void>((resolve) => (answered = resolve))]),
    );
    const status = await call.status;
    stage.now = `it has ended with ${grpc.status[status.code]}, and its requests are written`;
    await write;
    stage.now = `it has ended with ${grpc.status[status.code]}, and receives run`;
    if (plan.late) replies.forEach(receive);
    const failures = (await Promise.all(receives)).filter((error) => error !== undefined);
    this.#judge(plan, status, failures, replies.length);
  }

  /** Attaches the descriptors of each request when it is asked for. */
  async *#requests(fds: grpcfd.FdTransceiver, id: string, plan: CallPlan): AsyncGenerator<SoakMessage> {
    const { requests, replies, inOrder, delayMs, rpc, hangs } = plan;
    for (const [index, { items, bytes }] of requests.entries()) {
      const isLast = index === requests.length - 1;
      const wanted = rpc === 'bidi' ? replies.slice(index, index + 1) : isLast ? replies : [];
      const files = await this.#transfer.give(fds, items);
      yield { id, files, inOrder, delayMs, hangs, replies: wanted, body: bodyOf(bytes) };
    }
  }

  async #writeRest(
    call: Started,
    requests: AsyncGenerator<SoakMessage>,
    { rpc, atOnce }: CallPlan,
    answer: () => Promise<void>,
  ): Promise<void> {
    if (rpc === 'unary' || rpc === 'serverStream') return;
    try {
      for (;;) {
        if (rpc === 'bidi' && !atOnce) await answer();
        const { value, done } = await requests.next();
        if (done === true) break;
        call.write(value);
      }
    } catch (error) {
      // Nothing can be sent with a call that has ended.
      const reason = reasonOf(error);
      this.#book.count(`sends that were refused: ${reason}`);
      if (!ENDED.has(reason)) throw error;
    }
    call.end();
  }

  #start(
    client: grpc.Client,
    plan: CallPlan,
    fds: grpcfd.FdCallCredentials,
    first: SoakMessage,
    onReply: (reply: SoakMessage) => void,
  ): Started {
    const base: grpc.CallOptions = plan.hangs ? {} : { deadline: Date.now() + plan.deadlineMs };
    const options = fds.options(base);
    const metadata = new grpc.Metadata({ waitForReady: true });
    const { path, requestSerialize: pack, responseDeserialize: unpack } = soakService[plan.rpc];
    const onEnd: grpc.requestCallback<SoakMessage> = (_error, reply) => {
      if (reply !== undefined) onReply(reply);
    };
    const call = {
      unary: () => client.makeUnaryRequest(path, pack, unpack, first, metadata, options, onEnd),
      clientStream: () => client.makeClientStreamRequest(path, pack, unpack, metadata, options, onEnd),
      serverStream: () => client.makeServerStreamRequest(path, pack, unpack, first, metadata, options),
      bidi: () => client.makeBidiStreamRequest(path, pack, unpack, metadata, options),
    }[plan.rpc]();
    const stream = call as grpc.ClientDuplexStream<SoakMessage, SoakMessage>;
    stream.on('error', () => {});
    if (plan.rpc === 'serverStream' || plan.rpc === 'bidi') stream.on('data', onReply);
    const status = new Promise<grpc.StatusObject>((resolve) => stream.on('status', resolve));
    if (plan.rpc === 'clientStream' || plan.rpc === 'bidi') stream.write(first);
    return {
      // The callback of a call comes after its status.
      status: status.then(async (value) => {
        await new Promise((resolve) => setImmediate(resolve));
        return value;
      }),
      cancel: () => stream.cancel(),
      write: (message) => void stream.write(message),
      end: () => stream.end(),
    };
  }

  #judge(plan: CallPlan, status: grpc.StatusObject, failures: unknown[], replies: number): void {
    const name = grpc.status[status.code];
    this.#book.count(`calls: ${name}`);
    const isShort = plan.deadlineMs < LONG_DEADLINE_MS;
    const outcome = `${name}: ${status.details}`;
    const bytes = plan.requests.reduce((so, message) => so + message.bytes, 0);
    const isExpected =
      status.code === grpc.status.OK ||
      (status.code === grpc.status.CANCELLED && (plan.cancelMs !== undefined || isShort)) ||
      (status.code === grpc.status.DEADLINE_EXCEEDED && isShort) ||
      (outcome === REFUSED && bytes > 0.9 * KEPT_BYTES) ||
      (this.#task.mayBreak && BROKEN.some((start) => outcome.startsWith(start)));
    if (!isExpected) this.#book.problem('unexpected outcome', `${plan.rpc}, ${bytes} bytes: ${outcome}`);
    if (status.code === grpc.status.OK && replies !== plan.replies.length) {
      this.#book.problem(
        'unexpected outcome',
        `${plan.rpc}: OK with ${replies} replies of ${plan.replies.length}`,
      );
    }
    for (const failure of failures) {
      const reason = reasonOf(failure);
      const mayEnd = status.code !== grpc.status.OK || reason === 'CONNECTION_CLOSED';
      if (mayEnd && ENDED.has(reason)) continue;
      this.#book.problem('unexpected outcome', `${plan.rpc}, ${name}: a receive failed: ${failure}`);
    }
  }
}

/** The planted fault: a call that is not answered and has no deadline, though its plan has one. */
function hanging(plan: CallPlan): CallPlan {
  const [request, reply] = [plan.requests.slice(0, 1), plan.replies.slice(0, 1)];
  return {
    ...plan,
    rpc: 'unary',
    requests: request,
    replies: reply,
    deadlineMs: 100,
    cancelMs: undefined,
    hangs: true,
  };
}
