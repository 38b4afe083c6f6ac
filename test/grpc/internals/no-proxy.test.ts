import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { neverProxy, proxiedTarget } from '#src/grpc/internals/no-proxy.js';

test('grpc-js calls mapProxyName through the exports of its module, in the constructor of a channel', () => {
  const proxies = createRequire(import.meta.url)('@grpc/grpc-js/build/src/http_proxy.js') as {
    mapProxyName(target: { scheme?: string }, options: object): { target: object; extraOptions: object };
  };
  const { mapProxyName } = proxies;
  const asked: (string | undefined)[] = [];
  proxies.mapProxyName = (target, options) => {
    asked.push(target.scheme);
    return mapProxyName(target, options);
  };
  new grpc.Channel('unix:/nowhere', grpc.credentials.createInsecure(), {}).close();
  proxies.mapProxyName = mapProxyName;
  assert.deepEqual(asked, ['unix']);

  neverProxy('test-scheme');
  const target = { scheme: 'test-scheme', path: 'name' };
  assert.deepEqual(proxies.mapProxyName(target, {}), { target, extraOptions: {} });
});

test('the target behind a proxy is known by the options of its subchannel', () => {
  neverProxy('test-scheme');
  assert.equal(proxiedTarget({ 'grpc.http_connect_target': 'test-scheme:name' }), 'test-scheme:name');
  assert.equal(proxiedTarget({ 'grpc.http_connect_target': 'dns:name:80' }), undefined);
  assert.equal(proxiedTarget({ 'grpc.http_connect_target': 'name:80' }), undefined);
  assert.equal(proxiedTarget({}), undefined);
});
