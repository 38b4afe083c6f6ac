/** Commands of the documents, which are for the root of a clone. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const LIMIT_MS = 60_000;

/** Runs a command that begins with `node`, with the Node.js of this process. Returns what it printed; fails if it failed. */
export async function runInRoot(command = '', more: NodeJS.ProcessEnv = {}): Promise<string> {
  const [node, ...args] = command.split(' ');
  assert.equal(node, 'node', `the command '${command}'`);
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { ...env, ...more },
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: LIMIT_MS,
  });
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  assert.equal(code, 0, command);
  return output;
}
