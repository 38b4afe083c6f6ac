// The client of the restarts. `client.js plaintext|TLS DIRECTORY`. It makes calls until its parent says 'finish'.
import { closeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { descriptorTable } from '../support/fd-table.js';
import { leaksSince } from '../support/leaks.js';
import { RETRY } from '../support/policies.js';
import { type Message, stockChannelCredentials, testService } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';
import { type ClientReport, type Figures, PATHS } from './messages.js';

const [, , security = '', directory = ''] = process.argv;
const CLIENTS = 2;
const CALLERS_OF_A_CLIENT = 4;
/** A call that takes so long is lost. */
const DEADLINE_MS = 30_000;
const BEAT_MS = 250;

/**
 * A reset of the connection after GOAWAY. Node.js reports no error then, and grpc-js makes INTERNAL of it, with stock, too. The policy does
 * not allow to repeat INTERNAL.
 */
const RESET_AFTER_GOAWAY = 'Received RST_STREAM with code 0 (Call ended without gRPC status)';

const figures: Figures = {
  calls: 0,
  'answered by a later attempt': 0,
  'failed after the headers of the response': 0,
  'INTERNAL: reset after GOAWAY': 0,
  'lost, though the policy allows to repeat it': 0,
  'files that went with their connection': 0,
};
const problems: string[] = [];
let running = true;
let number = 0;

const before = descriptorTable();
const credentials = grpcfd.channelCredentials(
  await stockChannelCredentials(security === 'TLS' ? 'TLS' : 'plaintext'),
);

function count(figure: string): void {
  figures[figure] = (figures[figure] ?? 0) + 1;
}

/** How a call ended, with the first message of its response and the content of its file, or why the file could not be received. */
interface Outcome {
  readonly status: grpc.StatusObject;
  /** After the headers of the response, a call must not be repeated. */
  readonly hasHeaders: boolean;
  readonly first: Message | undefined;
  readonly content: string;
}

/** Every second call gets a stream of messages for its answer. */
function start(client: grpc.Client, file: string, fds: grpcfd.FdCallCredentials): Promise<Outcome> {
  const { unary, serverStream } = testService;
  const { path, requestSerialize, responseDeserialize } = number % 2 === 0 ? unary : serverStream;
  const options = { ...fds.options(), deadline: Date.now() + DEADLINE_MS };
  const metadata = new grpc.Metadata({ waitForReady: true });
  return new Promise((resolve) => {
    let hasHeaders = false;
    let first: Message | undefined;
    let content: Promise<string> | undefined;
    // The wire of a unary call is the same, and this tells of its headers.
    const call = client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      { file },
      metadata,
      options,
    );
    call.on('metadata', () => {
      hasHeaders = true;
    });
    call.on('data', (message: Message) => {
      first ??= message;
      content ??= fds.recvFd(String(first['file'])).then(contentOf, (error: Error) => error.message);
    });
    call.on('error', () => {});
    call.on('status', async (status) => {
      resolve({ status, hasHeaders, first, content: (await content) ?? 'nothing' });
    });
  });
}

async function callOnce(client: grpc.Client): Promise<void> {
  const content = `file ${number++}`;
  using fds = grpcfd.callCredentials();
  const sent = fileWith(content);
  const { ref } = fds.sendFd(sent);
  closeSync(sent);
  const { status, hasHeaders, first, content: got } = await start(client, ref, fds);
  count('calls');
  if (status.code === grpc.status.OK) {
    if (Number(first?.['attempts']) > 1) count('answered by a later attempt');
    if (got.includes('ERR_GRPCFD_CONNECTION_CLOSED')) count('files that went with their connection');
    else if (got !== `reply to ${content}`) problems.push(`a wrong file: sent "${content}", got "${got}"`);
  } else if (status.code === grpc.status.UNAVAILABLE && hasHeaders) {
    count('failed after the headers of the response');
  } else if (status.details === RESET_AFTER_GOAWAY) {
    count('INTERNAL: reset after GOAWAY');
  } else {
    count('lost, though the policy allows to repeat it');
    problems.push(`a call is lost: ${grpc.status[status.code]} ${status.details}, headers ${hasHeaders}`);
  }
}

const clients = Array.from(
  { length: CLIENTS },
  () =>
    new grpc.Client(`unix:${PATHS.socket(directory)}`, credentials, {
      ...RETRY,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': 5,
      'grpc.min_reconnect_backoff_ms': 5,
      'grpc.max_reconnect_backoff_ms': 10,
    }),
);

const callers = clients.flatMap((client) =>
  Array.from({ length: CALLERS_OF_A_CLIENT }, async () => {
    while (running) {
      await callOnce(client);
      await delay(1);
    }
  }),
);

/** The parent has gone. */
function exit(): void {
  process.exit(1);
}

function report(kind: ClientReport['kind']): void {
  process.send?.({ kind, figures, problems: problems.slice(0, 20) } satisfies ClientReport);
}

const beat = setInterval(() => report('alive'), BEAT_MS);
process.once('disconnect', exit);
process.once('message', async () => {
  running = false;
  await Promise.all(callers);
  for (const client of clients) client.close();
  const leaks = await leaksSince(before);
  for (const target of leaks) problems.push(`the client left a descriptor: ${target}`);
  figures['descriptors left in the client'] = leaks.length;
  clearInterval(beat);
  process.off('disconnect', exit);
  report('finished');
  process.disconnect();
});
