// The client of a storm. `client.js shutdown|cancel plaintext|TLS DIRECTORY`
import { setTimeout as delay } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { descriptorTable } from '../../support/fd-table.js';
import { bytesOf, PATHS } from '../calls.js';
import { isOurs } from '../library.js';
import { StormChild, stormChannelCredentials, task } from './child.js';

const CALLERS = 4;
const DEADLINE_MS = 1_000;
/** A call that lives so much longer than it may is a hang. */
const HANG_MS = 5_000;
const MAX_CANCEL_MS = 4;
/** How calls end of which some are cancelled, and nothing else happens to. */
const OUTCOMES: ReadonlySet<string> = new Set(['OK', 'CANCELLED', 'DEADLINE_EXCEEDED']);
/**
 * HTTP/2 servers of Node break a connection with more than 1,000 cancelled calls and 33 more a second. A stock client then leaves
 * sockets open, as it does when it is closed before its cancelled calls have ended: neither is what the storm is about.
 */
const CALLS_OF_A_CLIENT = 500;
/** stdin, for want of another: the server closes what it receives. */
const SENT_FD = 0;
/** Three for its connection, and three for one that is going. */
const SOCKETS = 6;

let stormy = true;
const before = descriptorTable();
let client = newClient();

function newClient(): grpc.Client {
  return new grpc.Client(task.address, stormChannelCredentials(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.initial_reconnect_backoff_ms': 5,
    'grpc.max_reconnect_backoff_ms': 10,
  });
}

const child = new StormChild({
  async calm() {
    stormy = false;
    await callers;
    await child.compareDescriptors('when calls had ended', before, SOCKETS);
  },
  async close() {
    client.close();
    await child.compareDescriptors('at the end', before);
  },
});

type Started = grpc.ClientUnaryCall | grpc.ClientDuplexStream<Buffer, Buffer>;

const asBytes = (bytes: Buffer) => bytes;

/** Starts a call; `onEnd` gets its status. */
function startCall(onEnd: (code: grpc.status, details?: string) => void): Started {
  const options: grpc.CallOptions = { deadline: Date.now() + DEADLINE_MS };
  if (Math.random() < 0.3) {
    const call = client.makeBidiStreamRequest(PATHS.bidi, asBytes, asBytes, options);
    call.on('error', () => {});
    call.on('data', () => {});
    call.on('status', ({ code }) => onEnd(code));
    call.write(bytesOf(Math.floor(Math.random() * 20_000)));
    call.end();
    return call;
  }
  let request = bytesOf(Math.floor(Math.random() * 200));
  let credentials: grpcfd.FdCallCredentials | undefined;
  if (task.storm === 'cancel' && isOurs('ours') && Math.random() < 0.5) {
    credentials = grpcfd.callCredentials();
    const { ref, sent } = credentials.sendFd(SENT_FD);
    sent.catch(() => {});
    request = Buffer.from(ref);
    Object.assign(options, credentials.options());
    child.count('calls with a descriptor');
  }
  return client.makeUnaryRequest(PATHS.unary, asBytes, asBytes, request, options, (error) => {
    credentials?.close();
    onEnd(error?.code ?? grpc.status.OK, error?.details);
  });
}

async function callOnce(): Promise<void> {
  const late = new AbortController();
  const ended = new Promise<string>((resolve) => {
    const call = startCall((code, details) =>
      resolve(code === grpc.status.NOT_FOUND ? `NOT_FOUND: ${details}` : grpc.status[code]),
    );
    if (task.storm !== 'cancel' || Math.random() < 0.2) return;
    if (Math.random() < 0.5) setImmediate(() => call.cancel());
    else setTimeout(() => call.cancel(), Math.random() * MAX_CANCEL_MS);
  });
  const outcome = await Promise.race([ended, delay(DEADLINE_MS + HANG_MS, undefined, late)]);
  late.abort();
  child.count(`calls: ${outcome ?? 'hung'}`);
  if (outcome === undefined) child.complain('a call outlived its deadline');
  else if (task.storm === 'cancel' && !OUTCOMES.has(outcome)) child.complain(`a call ended with ${outcome}`);
}

/** Until the storm is over, or the connection has had enough. */
async function callOften(): Promise<void> {
  for (let call = 0; call < CALLS_OF_A_CLIENT / CALLERS && stormy; call++) {
    await callOnce();
    // Calls that fail at once, for want of a connection, must not starve all else.
    await delay(task.storm === 'shutdown' ? 1 : 0);
  }
}

async function callForEver(): Promise<void> {
  for (;;) {
    await Promise.all(Array.from({ length: CALLERS }, callOften));
    child.count('clients');
    if (!stormy) return;
    client.close();
    client = newClient();
  }
}

const callers = callForEver();
child.ready();
