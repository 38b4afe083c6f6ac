// Code that both sides of the demo share: the service, unlinked temporary files, checksums, and a count of descriptors.
import { createHash, randomUUID } from 'node:crypto';
import { readdirSync, readlinkSync } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

export interface PutRequest {
  file: string;
}

export interface PutReply {
  bytes: number;
  sha256: string;
  receipt: string;
}

const proto = fileURLToPath(new URL('../../../examples/demo/store.proto', import.meta.url));
const definition = loadSync(proto, { longs: Number })['grpcfd.demo.Store'];
export const storeService = definition as grpc.ServiceDefinition;

/** A file that no other process can open by path: it has been unlinked. The caller closes it. */
export async function namelessFile(content: string | Uint8Array): Promise<FileHandle> {
  const path = join(tmpdir(), `grpcfd-demo-${randomUUID()}`);
  const file = await open(path, 'wx+', 0o600);
  await unlink(path);
  await file.writeFile(content);
  return file;
}

export function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/**
 * How many descriptors this process has open, without the one that reads the directory, and without the list of mounts, which the addon keeps
 * open as long as there is a connection.
 */
export function openDescriptors(): number {
  const targets = readdirSync('/proc/self/fd').map(targetOf);
  return targets.filter((target) => target !== undefined && !/^\/proc\/\d+\/mountinfo$/.test(target)).length;
}

/** Undefined for what has been closed since. */
function targetOf(fd: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
}
