/** `grpcfd call` */
import { once } from 'node:events';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from '../../index.js';
import { explained, Failure, oneLine } from '../failure.js';
import { toJson, toLongJson } from '../json.js';
import { type CallArguments, parseCall } from './arguments.js';
import { clientOf, metadataOf } from './channel.js';
import { Deadline } from './deadline.js';
import { checkPath } from './fields.js';
import { type Description, Receiver } from './receives.js';
import { reflect } from './reflection.js';
import { requestsOf } from './requests.js';
import { loadMethod, type Method } from './schema.js';
import { sendAll } from './sends.js';
import { statusFailure } from './status.js';

type Call = grpc.ClientDuplexStream<Buffer, Buffer>;

const asIs = (bytes: Buffer) => bytes;

export async function call(args: readonly string[]): Promise<number> {
  const parsed = parseCall(args);
  const deadline = new Deadline(parsed.deadlineMs);
  await deadline.run(makeCall(parsed, deadline));
  return 0;
}

async function makeCall(parsed: CallArguments, deadline: Deadline): Promise<void> {
  const options: grpc.CallOptions = deadline.at === undefined ? {} : { deadline: deadline.at };
  const metadata = metadataOf(parsed.metadata);
  const client = clientOf(parsed);
  try {
    const method = await loadMethod(parsed.source, parsed.service, parsed.method, deadline, () =>
      reflect(client, parsed.service, metadata, options),
    );
    for (const { field } of parsed.sends) checkPath(field, method.requestType);
    for (const { field } of parsed.receives) checkPath(field, method.responseType);
    using fds = grpcfd.callCredentials();
    const sends = sendAll(fds, parsed.sends, parsed.byUrl);
    const requests = requestsOf(method, parsed.data, sends, deadline);
    // A wrong message must not start a call.
    const first = await requests.next();
    // On the wire, the other kinds of calls are streams of one message.
    const stream = client.makeBidiStreamRequest(method.path, asIs, asIs, metadata, fds.options(options));
    const receiver = new Receiver(fds, parsed.receives, deadline);
    const output = parsed.receives.some(({ to }) => to === '-') ? process.stderr : process.stdout;
    const show = async (bytes: Buffer) => {
      const message = messageOf(method, bytes);
      const received = await receiver.receive(message);
      output.write(`${textOf(method, message, parsed.receives.length > 0 ? received : undefined)}\n`);
    };
    const status = await converse(stream, first, requests, show);
    if (status.code === grpc.status.OK) return;
    if (status.code === grpc.status.DEADLINE_EXCEEDED && deadline.isWaiting) throw deadline.failure();
    throw statusFailure(status.code, (name) => `${name}: ${explained(status.details)}`);
  } catch (error) {
    if (error instanceof grpcfd.GrpcFdError) throw new Failure(oneLine(error), error.code, { cause: error });
    throw error;
  } finally {
    client.close();
  }
}

function messageOf({ deserialize, responseType }: Method, bytes: Buffer): object {
  try {
    return deserialize(bytes);
  } catch (error) {
    // As grpc-js has it.
    const code = grpc.status.INTERNAL;
    throw statusFailure(
      code,
      (name) => `${name}: the reply cannot be decoded as ${responseType.name}: ${oneLine(error)}`,
    );
  }
}

function textOf(method: Method, message: object, received: readonly Description[] | undefined): string {
  const value = received === undefined ? message : { message, received };
  return method.responseStream ? toJson(value) : toLongJson(value);
}

/** Sends and receives until the call has ended, and all that came was shown. Fails where a request or `show` does. */
async function converse(
  stream: Call,
  first: IteratorResult<Buffer>,
  requests: AsyncGenerator<Buffer>,
  show: (bytes: Buffer) => Promise<void>,
): Promise<grpc.StatusObject> {
  let failure: { readonly error: unknown } | undefined;
  const fail = (error: unknown) => {
    failure ??= { error };
    stream.cancel();
    // A stream that is paused does not end.
    stream.resume();
  };
  let shown = Promise.resolve();
  stream.on('error', () => {}); // The status tells it.
  const ended = Promise.all([statusOf(stream), endOf(stream)]);
  stream.on('data', (bytes: Buffer) => {
    if (failure !== undefined) return;
    stream.pause();
    shown = shown.then(() => show(bytes)).then(() => void stream.resume(), fail);
  });
  void sendAllOf(stream, first, requests).catch(fail);
  const [status] = await ended;
  await shown;
  if (failure !== undefined) throw failure.error;
  return status;
}

/** `once` of node:events would fail at 'error', which comes before the last messages are read. */
function statusOf(stream: Call): Promise<grpc.StatusObject> {
  return new Promise((resolve) => {
    stream.once('status', resolve);
  });
}

function endOf(stream: Call): Promise<void> {
  return new Promise((resolve) => {
    stream.once('end', resolve).once('close', resolve);
  });
}

async function sendAllOf(
  stream: Call,
  first: IteratorResult<Buffer>,
  requests: AsyncGenerator<Buffer>,
): Promise<void> {
  for (let next = first; next.done !== true; next = await requests.next()) {
    if (!stream.write(next.value)) await once(stream, 'drain');
  }
  stream.end();
}
