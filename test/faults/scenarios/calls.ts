/** Calls that carry descriptors, over every kind of connection. */
import { closeSync } from 'node:fs';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { defer } from '../../support/fd-table.js';
import {
  bind,
  dial,
  freshAddress,
  type Message,
  type Security,
  stockServerCredentials,
  type TestClient,
  testService,
} from '../../support/service.js';
import { contentOf, fileWith } from '../../support/temporary.js';
import type { Scenario } from '../scenarios.js';
import { untouched } from '../untouched.js';
import { expectEqual } from '../wrong-result.js';

/** A call that takes longer than this hangs. */
export const CALL_MS = 8_000;

export function deadline(): grpc.CallOptions {
  return { deadline: Date.now() + CALL_MS };
}

export function sendNew(fds: grpcfd.FdTransceiver, content: string): grpcfd.SentFd {
  const fd = fileWith(content);
  try {
    const sent = fds.sendFd(fd);
    sent.sent.catch(() => {});
    return sent;
  } finally {
    closeSync(fd);
  }
}

/** Reads what the request names, and answers with a file that has the same content. */
const echo = grpcfd.handler(async ({ request }: { request: Message }, fds: grpcfd.FdServerCall) => {
  if (request['many'] !== undefined) return forwardAll(request['many'] as string[], fds);
  const contents: string[] = [];
  for (const name of request['files'] as string[]) {
    await using file = await fds.recvFile(name, { timeoutMs: CALL_MS });
    expectEqual(file.kind, 'file');
    contents.push(await file.readFile('utf8'));
  }
  return { files: contents.map((content) => sendNew(fds, `${content}!`)[request['by'] as 'ref' | 'url']) };
});

export function newServer(): grpcfd.Server {
  const server = new grpcfd.Server();
  server.addService(testService, { unary: echo as grpc.handleUnaryCall<Message, Message> });
  defer(() => server.forceShutdown());
  return server;
}

/** One file that is sent many times takes several messages. */
async function manyFiles(client: TestClient, count: number): Promise<void> {
  using fds = grpcfd.callCredentials();
  const fd = fileWith('many');
  let files: grpcfd.SentFd[];
  try {
    files = Array.from({ length: count }, () => fds.sendFd(fd));
  } finally {
    closeSync(fd);
  }
  for (const { sent } of files) sent.catch(() => {});
  const reply = await client.unary({ many: files.map(({ ref }) => ref) }, fds.options(deadline()));
  for (const name of reply['files'] as string[]) expectEqual(contentOf(await fds.recvFd(name)), 'many');
}

/** Sends back what it gets. */
async function forwardAll(names: readonly string[], fds: grpcfd.FdServerCall): Promise<Message> {
  const files: string[] = [];
  for (const name of names) {
    const fd = await fds.recvFd(name);
    try {
      const sent = fds.sendFd(fd);
      sent.sent.catch(() => {});
      files.push(sent.ref);
    } finally {
      closeSync(fd);
    }
  }
  return { files };
}

export async function exchange(client: TestClient, count: number, by: 'ref' | 'url' = 'ref'): Promise<void> {
  using fds = grpcfd.callCredentials();
  const files = Array.from({ length: count }, (_, index) => sendNew(fds, `file ${index}`)[by]);
  const reply = await client.unary({ files, by }, fds.options(deadline()));
  const names = reply['files'] as string[];
  for (const [index, name] of names.entries()) {
    expectEqual(contentOf(await fds.recvFd(name, { timeoutMs: CALL_MS })), `file ${index}!`);
  }
}

async function serveAndDial(security: Security, options: grpcfd.FdServerOptions = {}): Promise<TestClient> {
  const address = freshAddress();
  await bind(newServer(), address, grpcfd.serverCredentials(await stockServerCredentials(security), options));
  return dial(address, { security });
}

async function exchangeWith(security: Security, options?: grpcfd.FdServerOptions): Promise<void> {
  const client = await serveAndDial(security, options);
  await exchange(client, 2);
  await exchange(client, 1, 'url');
}

async function overSocketPair(): Promise<void> {
  const [a, b] = untouched(() => native.socketPair());
  let isGiven = false;
  defer(() => {
    if (!isGiven) native.close(b);
  });
  const connection = await newServer()
    .serveConnection(a, grpcfd.serverCredentials())
    .catch((error) => {
      if (error.reason === 'ERR_GRPCFD_INVALID_ARGUMENT' || error.syscall === 'fcntl') native.close(a);
      throw error;
    });
  const connect = () => {
    isGiven = true;
    return b;
  };
  const client = await dial('fd:connect', { options: { connect } });
  await exchange(client, 1);
  connection.close();
}

async function withRules(): Promise<void> {
  const client = await serveAndDial('plaintext', {
    authorize: (peer) => Promise.resolve(peer.uid === process.getuid?.()),
    account: (peer) => peer.uid,
    methods: { [testService.unary.path]: { kinds: ['file'], maxFds: 4 } },
    mode: 0o600,
    onConnection: ({ peer }) => {
      void peer?.pidfd()?.close();
    },
  });
  await exchange(client, 1);
}

async function aStream(): Promise<void> {
  const server = new grpcfd.Server();
  defer(() => server.forceShutdown());
  const handler = grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
    for await (const { file } of call) {
      const content = contentOf(await fds.recvFd(String(file)));
      call.write({ file: sendNew(fds, `${content}!`).ref });
    }
  });
  server.addService(testService, { bidi: handler });
  const address = freshAddress();
  await bind(server, address, grpcfd.serverCredentials());
  const client = await dial(address);
  using fds = grpcfd.callCredentials();
  const call = client.bidi(fds.options(deadline()));
  // The loop below throws it, unless it has ended before.
  call.on('error', () => {});
  let sent = 0;
  const send = () => call.write({ file: sendNew(fds, `file ${sent++}`).ref });
  try {
    send();
    let answers = 0;
    for await (const { file } of call) {
      expectEqual(contentOf(await fds.recvFd(String(file))), `file ${answers++}!`);
      if (sent < 3) send();
      else call.end();
    }
  } finally {
    call.cancel();
  }
}

async function refusedFds(): Promise<void> {
  const client = await serveAndDial('plaintext', { acceptFds: false });
  await client.unary({ files: [] }, deadline());
}

async function restart(): Promise<void> {
  const address = freshAddress();
  const options = {
    mode: 0o600,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    unlinkOnClose: false,
  };
  for (let start = 0; start < 2; start++) {
    const server = newServer();
    await bind(server, address, grpcfd.serverCredentials(undefined, options));
    const client = await dial(address);
    await exchange(client, 1);
    client.grpc.close();
    await new Promise<void>((resolve, reject) =>
      server.tryShutdown((error) => (error ? reject(error) : resolve())),
    );
  }
}

export const CALLS: readonly Scenario[] = [
  { name: 'calls in plaintext', run: () => exchangeWith('plaintext') },
  { name: 'calls over TLS', run: () => exchangeWith('TLS') },
  { name: 'a call with 130 files', run: async () => manyFiles(await serveAndDial('plaintext'), 130) },
  { name: 'a stream with files', run: aStream },
  { name: 'a call over a socketpair', run: overSocketPair },
  { name: 'authorize, account, methods, pidfd', run: withRules },
  { name: 'acceptFds: false', run: refusedFds },
  { name: 'a restart on a dead socket file', run: restart },
];
