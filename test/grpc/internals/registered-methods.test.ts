import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { registeredMethods } from '#src/grpc/internals/registered-methods.js';
import { testService } from '../../support/service.js';

test('a grpc.Server tells the paths of its methods, as they are added and removed', () => {
  const server = new grpc.Server();
  assert.deepEqual(registeredMethods(server), []);
  server.addService(testService, { unary: () => {} });
  const paths = Object.values(testService).map(({ path }) => path);
  assert.deepEqual(registeredMethods(server).sort(), paths.sort());
  server.removeService(testService);
  assert.deepEqual(registeredMethods(server), []);
});

test('an object without handlers is an error', () => {
  assert.throws(() => registeredMethods({} as grpc.Server), { reason: 'ERR_GRPCFD_INTERNALS_CHANGED' });
});
