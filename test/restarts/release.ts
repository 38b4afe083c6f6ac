// A release of the server. `release.js plaintext|TLS DIRECTORY`. It obeys the orders of its parent, and stops at SIGTERM.
import { closeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { connect, type FdListener, type FdSocket, type ListenOptions, listen } from 'grpcfd/socket';
import { descriptorTable } from '../support/fd-table.js';
import { leaksSince } from '../support/leaks.js';
import {
  bind,
  type Message,
  shutDown,
  stockServerCredentials,
  testService,
  withResolvers,
} from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';
import { PATHS, type ReleaseOrder, type ReleaseReport, type Way } from './messages.js';

const [, , security = '', directory = ''] = process.argv;
/** Long enough that several calls are under way at any time. */
const LONGEST_CALL_MS = 8;

const problems: string[] = [];
let answered = false;

/** Reads the file of the request, and sends one back. */
async function exchange(call: Call, fds: grpcfd.FdTransceiver): Promise<Message> {
  const content = contentOf(await fds.recvFd(String(call.request['file'])));
  await delay(Math.random() * LONGEST_CALL_MS);
  const file = fileWith(`reply to ${content}`);
  try {
    const attempts = Number(call.metadata.get('grpc-previous-rpc-attempts')[0] ?? 0) + 1;
    return { file: fds.sendFd(file).ref, attempts };
  } finally {
    closeSync(file);
    if (!answered) report('answers');
    answered = true;
  }
}

type Call = grpc.ServerUnaryCall<Message, Message> | grpc.ServerWritableStream<Message, Message>;

const server = new grpcfd.Server();
server.addService(testService, {
  unary: grpcfd.handler((call: grpc.ServerUnaryCall<Message, Message>, fds) => exchange(call, fds)),
  /** Two messages: after the first one, the call must not be repeated. */
  serverStream: grpcfd.handler(async (call: grpc.ServerWritableStream<Message, Message>, fds) => {
    call.write(await exchange(call, fds));
    await delay(Math.random() * LONGEST_CALL_MS);
    call.write({ last: true });
  }),
});
const credentials = grpcfd.serverCredentials(
  await stockServerCredentials(security === 'TLS' ? 'TLS' : 'plaintext'),
);

let listener: FdListener | undefined;
/** The listening socket, to hand it over. */
let handedOver = -1;
let keptFd: number | undefined;

/** Serves with a listener, which knows the number of its socket. */
async function listenAt(options: ListenOptions): Promise<void> {
  listener = await listen(options);
  listener.on('connection', (socket) => {
    server.serveConnection(socket, credentials).catch(() => socket.destroy());
  });
  handedOver = listener.fd;
}

async function takeOver(way: Way, handsOver: boolean): Promise<void> {
  const { promise, resolve } = withResolvers<FdSocket>();
  const meeting = await listen({ path: PATHS.handOver(directory) }, resolve);
  report('waits');
  const predecessor = await promise;
  // It may be killed before it has read the answer.
  predecessor.on('error', () => {});
  await meeting.close();
  const [first = -1, second = -1] = await new Promise<number[]>((received) => {
    predecessor.on('fds', received).resume();
  });
  if (way === 'bind') {
    // bindAsync() takes the one, and closes it at the end. The other is for the successor of this one.
    keptFd = handedOver = second;
    await bind(server, `fd:${first}`, credentials);
  } else {
    closeSync(second);
    await listenAt({ fd: first, unlinkOnClose: !handsOver });
  }
  predecessor.end('serves');
}

async function handOver(): Promise<void> {
  const successor = await connect(PATHS.handOver(directory));
  successor.writeWithFds('the listening socket', [handedOver, handedOver]);
  for await (const _ of successor);
  await stop();
}

async function stop(): Promise<void> {
  await listener?.close();
  if (keptFd !== undefined) closeSync(keptFd);
  await shutDown(server);
  for (const target of await leaksSince(before)) problems.push(`a release left a descriptor: ${target}`);
  process.off('disconnect', exit);
  report('stopped');
  process.disconnect();
}

/** Nobody gives orders any more. */
function exit(): void {
  process.exit(1);
}

function report(kind: ReleaseReport['kind']): void {
  process.send?.({ kind, problems } satisfies ReleaseReport);
}

process.on('message', async (order: ReleaseOrder) => {
  if (order.kind === 'hand over') return handOver();
  if (order.kind === 'take over') await takeOver(order.way, order.handsOver);
  else if (order.way === 'bind') await bind(server, `unix:${PATHS.socket(directory)}`, credentials);
  else await listenAt({ path: PATHS.socket(directory), unlinkOnClose: !order.handsOver });
  report('serves');
});
process.once('disconnect', exit);
process.once('SIGTERM', () => void stop());
const before = descriptorTable();
report('loaded');
