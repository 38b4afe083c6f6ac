/** What grpc-js does about a failed or slow attempt of a call to the test service. */
import type * as grpc from '@grpc/grpc-js';

function clientOptions(policy: Record<string, unknown>): Partial<grpc.ClientOptions> {
  const methodConfig = [{ name: [{ service: 'grpcfd.test.Test' }], ...policy }];
  return { 'grpc.service_config': JSON.stringify({ methodConfig, loadBalancingConfig: [] }) };
}

/** Client options: an attempt that ends with UNAVAILABLE is followed by another, up to four. */
export const RETRY = clientOptions({
  retryPolicy: {
    maxAttempts: 4,
    initialBackoff: '0.005s',
    maxBackoff: '0.01s',
    backoffMultiplier: 1,
    retryableStatusCodes: ['UNAVAILABLE'],
  },
});

/** Client options: an attempt that ends with UNAVAILABLE is followed by another after 240 to 360 ms, or after 0 to 300 before grpc-js 1.14.0. */
export const SLOW_RETRY = clientOptions({
  retryPolicy: {
    maxAttempts: 5,
    initialBackoff: '0.3s',
    maxBackoff: '0.3s',
    backoffMultiplier: 1,
    retryableStatusCodes: ['UNAVAILABLE'],
  },
});

/** Client options: three attempts at nearly the same time. */
export const HEDGE = clientOptions({
  hedgingPolicy: { maxAttempts: 3, hedgingDelay: '0.005s', nonFatalStatusCodes: ['UNAVAILABLE'] },
});
