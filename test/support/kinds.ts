/** One conversation, a list of requests and a reply to each, in all four kinds of calls. */
import { closeSync } from 'node:fs';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import type { Message, TestClient, TestHandlers } from './service.js';
import { fileWith } from './temporary.js';

export const KINDS = ['unary', 'clientStream', 'serverStream', 'bidi'] as const;
export type Kind = (typeof KINDS)[number];

type Answer = (request: Message, fds: grpcfd.FdServerCall) => Promise<Message>;

/** Handlers of all four kinds that give `answer` to each request, in order. */
export function conversation(answer: Answer): TestHandlers {
  const answerAll = async (
    requests: Iterable<unknown> | AsyncIterable<unknown>,
    fds: grpcfd.FdServerCall,
  ) => {
    const replies: Message[] = [];
    for await (const request of requests) replies.push(await answer(request as Message, fds));
    return { replies };
  };
  return {
    unary: grpcfd.handler((call: grpc.ServerUnaryCall<Message, Message>, fds) =>
      answerAll(call.request['requests'] as Message[], fds),
    ),
    clientStream: grpcfd.handler((call: grpc.ServerReadableStream<Message, Message>, fds) =>
      answerAll(call, fds),
    ),
    serverStream: grpcfd.handler(async (call: grpc.ServerWritableStream<Message, Message>, fds) => {
      for (const request of call.request['requests'] as Message[]) call.write(await answer(request, fds));
    }),
    bidi: grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
      for await (const request of call) call.write(await answer(request as Message, fds));
    }),
  };
}

/** Sends the requests in a call of that kind, and returns the replies. */
export async function converse(
  client: TestClient,
  kind: Kind,
  requests: Message[],
  options?: grpc.CallOptions,
): Promise<Message[]> {
  if (kind === 'unary') return (await client.unary({ requests }, options))['replies'] as Message[];
  if (kind === 'serverStream') return collect(client.serverStream({ requests }, options));
  const stream = kind === 'bidi' ? client.bidi(options) : undefined;
  const { call, reply } = stream === undefined ? client.clientStream(options) : { call: stream };
  for (const request of requests) call.write(request);
  call.end();
  return stream === undefined ? ((await reply)?.['replies'] as Message[]) : collect(stream);
}

/** All messages of a stream; throws the status that it ended with, if not OK. */
export async function collect(stream: AsyncIterable<unknown>): Promise<Message[]> {
  const messages: Message[] = [];
  for await (const message of stream) messages.push(message as Message);
  return messages;
}

/** Handlers that reply with the content of the `file` of each request, and with a new file of the same content in capitals. */
export function readingService(name: 'url' | 'ref'): TestHandlers {
  return conversation(async (request, fds) => {
    await using file = await fds.recvFile(String(request['file']));
    const content = await file.readFile('utf8');
    const answer = fileWith(content.toUpperCase());
    const sent = fds.sendFd(answer);
    closeSync(answer);
    return { content, file: sent[name] };
  });
}
