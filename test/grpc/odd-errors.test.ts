/** What users' functions throw and reject with: errors whose text is no text. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { bothWays } from '../support/both-ways.js';
import { eventsOf, warnings } from '../support/events.js';
import { failure } from '../support/failure.js';
import { trackDescriptors } from '../support/fd-table.js';
import { dial, freshAddress, serve } from '../support/service.js';
import { within } from '../support/until.js';

trackDescriptors();

const HANG_MS = 10_000;

function withMessage(message: unknown): Error {
  return Object.defineProperty(new Error(), 'message', { value: message });
}

function withThrowingMessage(): Error {
  return Object.defineProperty(new Error(), 'message', {
    get: () => assert.fail('the message cannot be had'),
  });
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable(new Error('gone'), {});
  revoke();
  return proxy;
}

const ODD: readonly [string, () => unknown, string][] = [
  ['a number', () => withMessage(42), '42'],
  ['an object', () => withMessage({ code: 5 }), 'an object'],
  ['a symbol', () => withMessage(Symbol('s')), 'Symbol(s)'],
  ['a getter that throws', withThrowingMessage, 'an object'],
  ['of a revoked proxy', revoked, 'an object'],
];

/** How a function of the user fails with `cause`. */
const FAILS: readonly [string, (cause: unknown) => Promise<never>][] = [
  [
    'throws',
    (cause) => {
      throw cause;
    },
  ],
  ['rejects with', (cause) => Promise.reject(cause)],
];

for (const [what, odd, text] of ODD) {
  for (const [verb, fail] of FAILS) {
    test(`an authorize() of a server that ${verb} an error whose message is ${what} refuses`, async () => {
      const options = { authorize: () => fail(odd()) };
      const { address } = await serve(bothWays, { options });
      const refusals = eventsOf<grpcfd.ConnectionRefusedEvent>('grpcfd:connection:refused');
      const client = await dial(address);
      assert.match(String(await failure(client.unary({}))), /UNAVAILABLE/);
      await within(HANG_MS, 'the event comes', () => refusals.length > 0);
      assert.equal(refusals[0]?.error.details, `the peer may not connect: authorize() failed: ${text}`);
      assert.equal(grpcfd.stats().undecidedConnections, 0);
      client.grpc.close();
    });

    test(`an authorize() of a client that ${verb} an error whose message is ${what} refuses`, async () => {
      const { address } = await serve(bothWays);
      const client = await dial(address, { options: { authorize: () => fail(odd()) } });
      const error = (await failure(client.unary({}))) as grpc.ServiceError;
      assert.ok(error.details.includes(`authorize() failed: ${text}`), error.details);
      client.grpc.close();
    });

    test(`an onConnection that ${verb} an error whose message is ${what} costs the connection alone`, async () => {
      const { address } = await serve(bothWays, { options: { onConnection: () => fail(odd()) } });
      const all = warnings();
      const client = await dial(address);
      assert.match(String(await failure(client.unary({}))), /UNAVAILABLE/);
      await within(HANG_MS, 'the warning comes', () => all.length > 0);
      assert.equal(all[0]?.message, `onConnection failed, and its connection was closed: ${text}`);
      client.grpc.close();
    });

    test(`a connect() that ${verb} an error whose message is ${what} fails the call with a text`, async () => {
      const client = await dial('fd:connect', { options: { connect: () => fail(odd()) } });
      const error = (await failure(client.unary({}))) as grpc.ServiceError;
      assert.ok(error.details.includes(`connect() failed: ${text}`), error.details);
      client.grpc.close();
    });
  }

  test(`an account() that throws an error whose message is ${what} refuses`, async () => {
    const account = () => {
      throw odd();
    };
    const { address } = await serve(bothWays, { options: { account } });
    const refusals = eventsOf<grpcfd.ConnectionRefusedEvent>('grpcfd:connection:refused');
    const ofServer = await dial(address);
    assert.match(String(await failure(ofServer.unary({}))), /UNAVAILABLE/);
    await within(HANG_MS, 'the event comes', () => refusals.length > 0);
    assert.equal(refusals[0]?.error.details, `account() failed: ${text}`);
    const other = await serve(bothWays, { address: freshAddress() });
    const ofClient = await dial(other.address, { options: { account } });
    const error = (await failure(ofClient.unary({}))) as grpc.ServiceError;
    assert.ok(error.details.includes(`account() failed: ${text}`), error.details);
    ofServer.grpc.close();
    ofClient.grpc.close();
  });
}
