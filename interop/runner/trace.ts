/**
 * npm run trace: the table of docs/wire.md, measured anew. One unary call without encryption for each row, with strace at both
 * ends; needs Go and strace.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Direction } from '../node/row.js';
import { LANGUAGES, type Language } from './matrix.js';
import { ClientPeer, ServerPeer } from './peer.js';
import { findGo, prepare, type Workplace } from './toolchain.js';

const COUNTS = [1, 64, 200];
/** How long a row waits for fds that Go lost. */
const RECEIVE_MS = 2000;
const HANG_MS = 30_000;
/** The bytes of a control message before its first descriptor. Each descriptor takes four bytes. */
const CMSG_HEADER_BYTES = 16;

/** A sendmsg or recvmsg that carried descriptors. */
interface Message {
  readonly fds: number;
  readonly bytes: number;
}

interface Ends {
  readonly client: Language;
  readonly server: Language;
  readonly direction: Direction;
  readonly fds: number;
}

async function main(): Promise<boolean> {
  const go = await findGo();
  if ('missing' in go) {
    console.error(`The trace needs Go: ${go.missing}`);
    return false;
  }
  try {
    await promisify(execFile)('strace', ['-V']);
  } catch (error) {
    console.error(`The trace needs strace: ${error instanceof Error ? error.message : error}`);
    return false;
  }
  console.log(`Node.js ${process.version}, ${go.version}`);
  await using workplace = await prepare();
  for (const client of LANGUAGES) {
    for (const server of LANGUAGES) {
      for (const direction of ['c2s', 's2c'] as const) {
        console.log(
          `\n${client} client, ${server} server, ${direction === 'c2s' ? 'client' : 'server'} sends`,
        );
        for (const fds of COUNTS) console.log(await row({ client, server, direction, fds }, workplace));
      }
    }
  }
  return true;
}

async function row(ends: Ends, workplace: Workplace): Promise<string> {
  const directory = await mkdtemp(join(workplace.directory, 'trace-'));
  const under = (end: string) => ({ under: strace(join(directory, end)) });
  const server = await ServerPeer.start(ends.server, workplace, under('server'));
  const client = new ClientPeer(ends.client, workplace, under('client'));
  const { direction, fds } = ends;
  const call = { security: 'plaintext', rpc: 'unary', kind: 'UNLINKED', warm: true } as const;
  const target = server.target('plaintext');
  const result = await client.run({ ...call, target, direction, fds, receiveMs: RECEIVE_MS }, HANG_MS);
  const deaths = [await client.stop(), await server.stop()].filter((death) => death !== undefined);
  const [from, to] = direction === 'c2s' ? ['client', 'server'] : ['server', 'client'];
  const sent = await messages(directory, from, 'sendmsg');
  const received = await messages(directory, to, 'recvmsg');
  const problems = new Set([...(result.reason === undefined ? [] : [result.reason]), ...deaths]);
  return [
    `  ${String(fds).padStart(3)} fds: ${sent.length} sendmsg: ${summary(sent)}`,
    `           ${received.length} recvmsg: ${summary(received)}`,
    ...[...problems].map((problem) => `           ${problem}`),
  ].join('\n');
}

/** The strace command. It writes a file for each thread, so that two calls never share a line. */
function strace(output: string): string[] {
  return [
    'strace',
    '-ff',
    '-qq',
    '-s',
    '0',
    '-e',
    'trace=sendmsg,recvmsg',
    '-e',
    'signal=none',
    '-o',
    output,
  ];
}

/** The calls of one end, without an order between threads: several threads of a Go process write to one connection. */
async function messages(directory: string, end: string, call: string): Promise<Message[]> {
  const found: Message[] = [];
  for (const name of await readdir(directory)) {
    if (!name.startsWith(`${end}.`)) continue;
    for (const line of (await readFile(join(directory, name), 'utf8')).split('\n')) {
      if (!line.startsWith(`${call}(`) || !line.includes('SCM_RIGHTS')) continue;
      const [, length = ''] = /cmsg_len=(\d+)/.exec(line) ?? [];
      const [, bytes = ''] = / = (\d+)$/.exec(line) ?? [];
      found.push({ fds: (Number(length) - CMSG_HEADER_BYTES) / 4, bytes: Number(bytes) });
    }
  }
  return found;
}

/** Formats messages like `3 × 64 fds on 1 B, 8 fds on 15999 B`. */
function summary(found: readonly Message[]): string {
  const alike = new Map<string, number>();
  for (const { fds, bytes } of found) {
    const text = `${fds} ${fds === 1 ? 'fd' : 'fds'} on ${bytes} B`;
    alike.set(text, (alike.get(text) ?? 0) + 1);
  }
  const parts = [...alike].map(([text, times]) => (times === 1 ? text : `${times} × ${text}`));
  return parts.join(', ') || 'none';
}

process.exitCode = (await main()) ? 0 : 1;
