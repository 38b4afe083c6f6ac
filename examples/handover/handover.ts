// Code that the small examples share: a service, its server and its client, a temporary directory, other processes.
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import * as grpcfd from 'grpcfd';

export interface Gift {
  file: string;
}

export interface Thanks {
  text: string;
}

const proto = fileURLToPath(new URL('../../../examples/handover/handover.proto', import.meta.url));
export const handoverService = loadSync(proto)['grpcfd.examples.Handover'] as grpc.ServiceDefinition;

const Client = grpc.makeGenericClientConstructor(handoverService, 'Handover');

export class HandoverClient {
  readonly #client: InstanceType<typeof Client>;

  constructor(address: string, credentials: grpc.ChannelCredentials) {
    this.#client = new Client(address, credentials);
  }

  /** Waits until the server is ready, because it may still be starting. */
  give(gift: Gift, options: grpc.CallOptions): Promise<Thanks> {
    const metadata = new grpc.Metadata({ waitForReady: true });
    return new Promise((resolve, reject) => {
      this.#client['Give']?.(gift, metadata, options, (error: Error | null, thanks: Thanks) =>
        error ? reject(error) : resolve(thanks),
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}

/** Gets the name of a file, and returns the text of the answer. */
export type Give = (
  file: string,
  fds: grpcfd.FdServerCall,
  call: grpc.ServerUnaryCall<Gift, Thanks>,
) => string | Promise<string>;

/** A server whose calls `give` answers. */
export function newServer(give: Give): grpcfd.Server {
  const server = new grpcfd.Server();
  server.addService(handoverService, {
    Give: grpcfd.handler<Gift, Thanks>(async (call: grpc.ServerUnaryCall<Gift, Thanks>, fds) => ({
      text: await give(call.request.file, fds, call),
    })),
  });
  return server;
}

/** {@link newServer}, at that address. Returns what shuts it down. */
export async function serve(address: string, give: Give): Promise<() => Promise<void>> {
  const server = newServer(give);
  await bind(server, address, grpcfd.serverCredentials());
  return () => shutDown(server);
}

export async function bind(
  server: grpc.Server,
  address: string,
  credentials: grpc.ServerCredentials,
): Promise<void> {
  await promisify(server.bindAsync.bind(server))(address, credentials);
}

export function shutDown(server: grpc.Server): Promise<void> {
  return promisify(server.tryShutdown.bind(server))();
}

/** A directory that is removed when the process exits. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'grpcfd-example-'));
  process.on('exit', () => rmSync(path, { recursive: true }));
  return path;
}

/** The path of a program of the examples: `cluster`, or `sandbox/child`. */
export function programPath(name: string): string {
  return fileURLToPath(new URL(`../${name}.js`, import.meta.url));
}

/** Runs another program of the examples in a process of its own. */
export function start(
  name: string,
  args: readonly string[] = [],
  stdio: StdioOptions = 'inherit',
): ChildProcess {
  return spawn(process.execPath, [programPath(name), ...args], { stdio });
}
