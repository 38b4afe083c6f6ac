// Code that examples share: a child process without rights, connected to its parent by a socketpair.
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { PeerCredentials } from 'grpcfd';

const NOBODY = 65534;

/** The rights of every user are dropped by those who have them: root alone can become somebody else. */
export const canDropRights = process.getuid?.() === 0;

/** In the child: becomes the user 65534, in no other group. Load all modules before. */
export function dropRights(): void {
  if (canDropRights) {
    process.setgroups?.([]);
    process.setgid?.(NOBODY);
    process.setuid?.(NOBODY);
  }
  process.chdir('/');
}

/**
 * In the parent: starts a child with one end of a socketpair as its descriptor 3. Give the other end to `serveConnection()` in the same
 * turn. The kernel cannot tell who has the child's end, so `peer` does.
 */
export function startUnprivileged(
  program: URL,
  ...args: string[]
): { child: ChildProcess; socket: Socket; peer: PeerCredentials } {
  const child = spawn(process.execPath, [fileURLToPath(program), ...args], {
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
    env: {},
  });
  const id = (own: number | undefined) => (canDropRights ? NOBODY : (own ?? 0));
  const peer = { pid: child.pid ?? 0, uid: id(process.getuid?.()), gid: id(process.getgid?.()) };
  return { child, socket: child.stdio[3] as Socket, peer };
}
