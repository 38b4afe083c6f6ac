import assert from 'node:assert/strict';
import type { Security } from '../../interop/node/security.js';
import type { goClient } from './peers.js';

const RPCS = ['unary', 'clientStream', 'serverStream', 'bidi'] as const;

/** Has the client send and receive files in calls of every kind. */
export async function exchangeAll(
  client: ReturnType<typeof goClient>,
  security: Security,
  target: string,
): Promise<void> {
  for (const rpc of RPCS) {
    for (const direction of ['c2s', 's2c'] as const) {
      const row = {
        security,
        rpc,
        direction,
        kind: 'UNLINKED',
        fds: 3,
        keep: true,
        receiveMs: 20_000,
      } as const;
      const { ok, reason } = await client({ ...row, target });
      assert.deepEqual([rpc, direction, ok, reason], [rpc, direction, true, undefined]);
    }
  }
}
