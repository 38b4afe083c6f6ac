/** A server in a process of its own, on a fresh address. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { sharedCertificates } from './certificates.js';
import { startFixture } from './child.js';
import { defer } from './fd-table.js';
import { freshAddress, type Security } from './service.js';

/**
 * Starts a module of the tests, named relative to the caller's `import.meta.url`, as `MODULE ADDRESS SECURITY MORE…`, and waits until it
 * prints something. It is killed at the end of the test. Returns its address.
 */
export async function startServerProcess(
  name: string,
  caller: string,
  security: Security,
  ...more: string[]
): Promise<string> {
  const address = freshAddress();
  const environment = await sharedCertificates();
  const child = startFixture(name, caller, [address, security, ...more], environment);
  defer(async () => {
    const exit = once(child, 'exit');
    child.kill();
    await exit;
  });
  child.stderr?.pipe(process.stderr, { end: false });
  assert.ok(child.stdout);
  await once(child.stdout, 'data');
  return address;
}
