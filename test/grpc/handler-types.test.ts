// The check is that this file compiles: `call` and the reply have types without annotations.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { handler } from 'grpcfd';
import { testService } from '../support/service.js';

interface Question {
  text: string;
}

interface Answer {
  length: number;
}

/** A service type as code generators write it. */
interface TypedService extends grpc.UntypedServiceImplementation {
  unary: grpc.handleUnaryCall<Question, Answer>;
  clientStream: grpc.handleClientStreamingCall<Question, Answer>;
  serverStream: grpc.handleServerStreamingCall<Question, Answer>;
  bidi: grpc.handleBidiStreamingCall<Question, Answer>;
}

const typed: TypedService = {
  unary: handler(async (call) => ({ length: call.request.text.length })),
  clientStream: handler(async (call) => ({ length: call.listenerCount('data') })),
  serverStream: handler(async (call) => {
    call.write({ length: call.request.text.length });
  }),
  bidi: handler(async (call) => {
    call.write({ length: call.readableLength });
  }),
};

const annotated: TypedService = {
  unary: handler((call: grpc.ServerUnaryCall<Question, Answer>) => ({ length: call.request.text.length })),
  clientStream: handler((call: grpc.ServerReadableStream<Question, Answer>) => ({
    length: call.readableLength,
  })),
  serverStream: handler((call: grpc.ServerWritableStream<Question, Answer>) => {
    call.write({ length: call.request.text.length });
  }),
  bidi: handler((call: grpc.ServerDuplexStream<Question, Answer>) => {
    call.write({ length: 1 });
  }),
};

const wrong: TypedService = {
  // @ts-expect-error: the reply is not an Answer
  unary: handler(async () => ({ length: 'long' })),
  // @ts-expect-error: the reply is missing
  clientStream: handler(async () => {}),
  serverStream: handler(async (call) => {
    // @ts-expect-error: the message is not an Answer
    call.write({ length: 'long' });
  }),
  bidi: handler((call) => {
    // @ts-expect-error: there is no single request
    call.write({ length: String(call.request) });
  }),
};

const untyped: grpc.UntypedServiceImplementation = {
  unary: handler(async (call, fds) => {
    await using file = await fds.recvFile(call.request.file);
    return { length: (await file.stat()).size };
  }),
  clientStream: handler(async (call) => {
    let length = 0;
    for await (const { text } of call) length += text.length;
    return { length };
  }),
  serverStream: handler(async (call) => {
    call.write({ length: call.request.text.length });
  }),
  bidi: handler(async (call) => {
    for await (const { text } of call) call.write({ length: text.length });
  }),
};

const standingAlone = handler(async (call: grpc.ServerDuplexStream<Question, Answer>) => {
  call.write({ length: 0 });
});
const assigned: grpc.handleBidiStreamingCall<Question, Answer> = standingAlone;
const withTypeArguments = handler<Question, Answer>((call) => ({ length: call.request.text.length }));
const assignedUnary: grpc.handleUnaryCall<Question, Answer> = withTypeArguments;

test('Handlers with and without type arguments can implement a service', () => {
  for (const service of [typed, annotated, wrong, untyped]) {
    new grpc.Server().addService(testService, service);
  }
  assert.deepEqual([typeof assigned, typeof assignedUnary], ['function', 'function']);
});
