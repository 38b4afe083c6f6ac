import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as net from 'node:net';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { FdTargetHandle, fdOfAddress, fdOfTarget, ipcChannel } from '#src/grpc/internals/fd-target.js';
import { claimTarget } from '#src/grpc/internals/own-handle.js';
import { registerSchemes } from '#src/grpc/internals/schemes.js';
import { trackDescriptors } from '../../support/fd-table.js';

trackDescriptors();
registerSchemes();

/** The address that the resolver gives, in whichever form the installed grpc-js asks for it. */
function addressOf(target: { scheme: string; path: string }): Promise<object> {
  return new Promise((resolve) => {
    const found = (...args: unknown[]) => {
      const [first] = args as [{ value?: [{ addresses: [object] }] } & [{ addresses: [object] }]];
      resolve((first.value ?? first)[0].addresses[0]);
      return true;
    };
    const listener = Object.assign(found, { onSuccessfulResolution: found, onError: assert.fail });
    grpc.experimental.createResolver(target, listener as never, {}).updateResolution();
  });
}

test('net.connect() takes the handle of an address, and completes with it once the target is claimed', async () => {
  const target = { scheme: 'fd', path: 'connect' };
  const address = await addressOf(target);
  assert.equal(fdOfAddress(address), 'connect');
  assert.throws(() => net.connect(address as net.NetConnectOpts), /takes grpcfd\.channelCredentials\(\)/);
  claimTarget(target);
  assert.equal(fdOfTarget(target), 'connect');
  const socket = net.connect(address as net.NetConnectOpts);
  await once(socket, 'connect');
  socket.setNoDelay();
  socket.destroy();
  await once(socket, 'close');
  assert.equal(fdOfTarget({ scheme: 'unix', path: 'connect' }), undefined);
  assert.equal(fdOfAddress({ path: 'fd:connect' }), undefined);
});

test('a net.Server of stock takes the handle of an address, and fails on its fd', async () => {
  const address = await addressOf({ scheme: 'fd', path: '3' });
  assert.throws(() => net.createServer().listen(address), /takes grpcfd\.serverCredentials\(\)/);
});

test('a channel has an inner part with a target and enterIdle()', () => {
  const channel = new grpc.Channel('unix:/nowhere', grpc.credentials.createInsecure(), {});
  const { internalChannel } = channel as unknown as {
    internalChannel: { target: { scheme: string; path: string }; enterIdle(): void };
  };
  assert.deepEqual([internalChannel.target.scheme, internalChannel.target.path], ['unix', '/nowhere']);
  assert.equal(typeof internalChannel.enterIdle, 'function');
  channel.close();
});

test('process.channel has an fd where there is one', () => {
  const expected = (process.channel as unknown as { fd: number } | undefined)?.fd;
  assert.equal(ipcChannel(), expected);
  assert.equal(new FdTargetHandle({ scheme: 'fd', path: '4' }).path, '4');
});
