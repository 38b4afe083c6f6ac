/** Runs `grpcfd proxy` in a process of its own, between ends that belong to the test. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type FdSocket, listen } from 'grpcfd/socket';
import { defer } from '../support/fd-table.js';
import { freshAddress } from '../support/service.js';
import { settledWithin, within } from '../support/until.js';
import { startTool } from './tool.js';

export const SOON_MS = 20_000;

export interface Event {
  readonly connection: number;
  readonly event: string;
  readonly [name: string]: unknown;
}

export interface ProxyOptions {
  /** Whether it prints JSON. Default true. */
  readonly json?: boolean | undefined;
  readonly maxOpenFiles?: number | undefined;
  /** Whether nobody reads what it prints, until {@link Running.read} is called. */
  readonly unread?: boolean | undefined;
}

export interface Running {
  readonly address: string;
  /** What it printed. */
  readonly lines: string[];
  /** The same, where it prints JSON. */
  readonly events: Event[];
  /** The events of that kind, once there are so many. */
  after(event: string, count?: number): Promise<Event[]>;
  /** The first line that matches. */
  line(pattern: RegExp): Promise<string>;
  /** The memory of its process. */
  megabytes(): number;
  read(): void;
}

/** A proxy before that address, which the end of the test ends. */
export async function startProxy(to: string, options: ProxyOptions = {}): Promise<Running> {
  const { json = true, maxOpenFiles, unread = false } = options;
  const address = freshAddress();
  const child = startTool(['proxy', '--listen', address, '--to', to, ...(json ? ['--json'] : [])], {
    maxOpenFiles,
  });
  const { pid, stdout, stderr } = child;
  assert.ok(pid !== undefined && stdout !== null && stderr !== null);
  const lines: string[] = [];
  const events: Event[] = [];
  let rest = '';
  const read = () => {
    stdout.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop() ?? '';
      // A spread has no room for the arguments of a long list.
      for (const line of parts) {
        lines.push(line);
        if (json) events.push(JSON.parse(line));
      }
    });
  };
  if (!unread) read();
  defer(async () => {
    const exit = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
    child.kill('SIGTERM');
    stdout.resume();
    assert.deepEqual((await exit) ?? [child.exitCode, child.signalCode], [0, null]);
  });
  await once(stderr, 'data');
  const after = async (event: string, count = 1) => {
    const found = () => events.filter((each) => each.event === event);
    await within(SOON_MS, `${count} × ${event}`, () => found().length >= count);
    return found();
  };
  const line = async (pattern: RegExp) => {
    await within(SOON_MS, String(pattern), () => lines.some((each) => pattern.test(each)));
    return lines.find((each) => pattern.test(each)) ?? '';
  };
  const megabytes = () =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
  return { address, lines, events, after, line, megabytes, read };
}

/** A connection through the proxy. Both of its ends belong to the test. */
export interface Ends {
  readonly client: FdSocket;
  readonly server: FdSocket;
}

/** A proxy with a connection, and more of them. */
export async function ends(
  options?: ProxyOptions,
): Promise<Ends & { readonly proxy: Running; another(): Promise<Ends> }> {
  const path = freshAddress().slice('unix:'.length);
  const arrived: FdSocket[] = [];
  const waiting: ((socket: FdSocket) => void)[] = [];
  const listener = await listen({ path, allowHalfOpen: true }, (socket) => {
    defer(() => socket.destroy());
    const taker = waiting.shift();
    if (taker === undefined) arrived.push(socket);
    else taker(socket);
  });
  defer(() => listener.close());
  const proxy = await startProxy(`unix:${path}`, options);
  const another = async () => {
    const client = await connect(proxy.address.slice('unix:'.length), { allowHalfOpen: true });
    defer(() => client.destroy());
    const next = arrived.shift();
    const server =
      next ??
      (await settledWithin(
        SOON_MS,
        'a connection',
        new Promise<FdSocket>((resolve) => waiting.push(resolve)),
      ));
    return { client, server };
  };
  return { ...(await another()), proxy, another };
}
