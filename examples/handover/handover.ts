// Code that the small examples share and that does not depend on this package: a service, a client, a temporary directory.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

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
