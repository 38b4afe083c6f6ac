// npm run demo: a file that the server cannot open travels to it with a gRPC call, and another one back; in plaintext and
// in mutual TLS, between two processes. Exit code 0 only if everything arrived, and neither process has more
// descriptors afterwards than before.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generate } from 'selfsigned';

interface Exchanged {
  url: string;
  bytes: number;
  sha256: { client: string; server: string };
  receipt: { url: string; kind: string; text: string };
}

let failures = 0;

function report(what: string, value: string, good = true): void {
  if (!good) failures++;
  console.log(`  ${good ? '✓' : '✗'} ${what.padEnd(22)} ${value}`);
}

function start(role: 'server' | 'client', ...args: string[]): ChildProcess {
  return fork(fileURLToPath(new URL(`./demo/${role}.js`, import.meta.url)), args);
}

/** The next message of a child, or a failure if it ends instead. */
async function message<T>(child: ChildProcess): Promise<T> {
  const ended = new AbortController();
  const next = once(child, 'message', { signal: ended.signal });
  const onExit = (code: number | null) =>
    ended.abort(new Error(`a process of the demo ended with code ${code}`));
  child.once('exit', onExit);
  try {
    const [value] = await next;
    return value as T;
  } finally {
    child.off('exit', onExit);
  }
}

async function ask<T>(child: ChildProcess, question: string): Promise<T> {
  child.send(question);
  return message<T>(child);
}

/**
 * The server's count once the connection of the client has gone, which takes the server a moment to see. It may be lower than before:
 * Node.js itself may close a file that it had open when the server started.
 */
async function settledCount(server: ChildProcess, before: number): Promise<number> {
  for (let attempt = 0; ; attempt++) {
    const { descriptors } = await ask<{ descriptors: number }>(server, 'count');
    if (descriptors <= before || attempt === 200) return descriptors;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function show(security: 'plaintext' | 'mutual TLS', directory: string): Promise<void> {
  console.log(`\n${security}`);
  const server = start('server', directory, security);
  const { descriptors: before } = await message<{ descriptors: number }>(server);
  const client = start('client', directory, security);

  const { url, bytes, sha256, receipt } = await message<Exchanged>(client);
  report('client sent', `${url}, a file without a name`);
  report('server read', `${bytes} bytes through its descriptor`, bytes === 1 << 20);
  report('sha256 at the client', sha256.client);
  report('sha256 at the server', sha256.server, sha256.client === sha256.server);
  report('server sent', `${receipt.url}, kind ${receipt.kind}`, receipt.kind === 'file');
  report('client read', receipt.text.trim(), receipt.text.includes(sha256.client));

  const after = await settledCount(server, before);
  const counts = (await ask<{ descriptors: { before: number; after: number } }>(client, 'count')).descriptors;
  report(
    'client descriptors',
    `${counts.before} before, ${counts.after} after`,
    counts.after <= counts.before,
  );
  report('server descriptors', `${before} before, ${after} after`, after <= before);
  server.send('stop');
  await once(server, 'exit');
}

const directory = await mkdtemp(join(tmpdir(), 'grpcfd-demo-'));
try {
  for (const name of ['server', 'client']) {
    const attributes = [{ name: 'commonName', value: 'localhost' }];
    const { private: key, cert } = await generate(attributes, { keySize: 2048, algorithm: 'sha256' });
    await writeFile(join(directory, `${name}.key`), key, { mode: 0o600 });
    await writeFile(join(directory, `${name}.crt`), cert);
  }
  await show('plaintext', directory);
  await show('mutual TLS', directory);
} finally {
  await rm(directory, { recursive: true, force: true });
}
console.log(failures === 0 ? '\nEverything arrived, nothing leaked.' : `\n${failures} checks failed.`);
process.exitCode = failures === 0 ? 0 : 1;
