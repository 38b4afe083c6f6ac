/** The service that the tests of the tool call: fixtures/store.proto. */
import { fileURLToPath } from 'node:url';
import type * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import * as grpcfd from 'grpcfd';
import { defer } from '../support/fd-table.js';
import { bind, freshAddress, type Security, shutDown, stockServerCredentials } from '../support/service.js';

export const PROTO: string = fileURLToPath(
  new URL('../../../test/cli/fixtures/store.proto', import.meta.url),
);

export interface PutRequest {
  readonly file: string;
  readonly files: readonly string[];
  readonly inner: { readonly file: string } | null;
  readonly list: readonly { readonly file: string }[];
  readonly display_name: string;
}

export interface PutReply {
  readonly file?: string;
  readonly text?: string;
}

const definition = loadSync(PROTO, { keepCase: true, defaults: true });
export const storeService = definition['store.Store'] as grpc.ServiceDefinition;

/** The descriptors of the files that define the service, as reflection and descriptor sets have them. */
export function fileDescriptors(): Buffer[] {
  const message = definition['store.PutRequest'] as { fileDescriptorProtos?: Buffer[] } | undefined;
  return message?.fileDescriptorProtos ?? [];
}

/** What a reply tells of each file: its kind, and its content where it has one. */
const put = grpcfd.handler<PutRequest, PutReply>(
  async (call: grpc.ServerUnaryCall<PutRequest, PutReply>, fds) => {
    const { file, files, inner, list, display_name: name } = call.request;
    const names = [file, ...files, inner?.file ?? '', ...list.map((each) => each.file)].filter(Boolean);
    if (names.length === 0) throw Object.assign(new Error(), { code: 5, details: 'no file\nwas sent' });
    const parts: string[] = [name];
    let reply = '';
    for (const each of names) {
      await using received = await fds.recvFile(each);
      parts.push(received.pathOnly ? `${received.kind} by path` : await received.readFile('utf8'));
      reply = fds.sendFile(received).ref;
    }
    return { file: reply, text: parts.join('|') };
  },
);

function echo(call: grpc.ServerDuplexStream<PutRequest, PutReply>): void {
  const fds = grpcfd.fromCall(call);
  let last = Promise.resolve();
  call.on('data', ({ file, display_name: name }: PutRequest) => {
    last = last.then(async () => {
      if (file === '') return void call.write({ text: `${name}: none` });
      await using received = await fds.recvFile(file);
      call.write({ file: fds.sendFile(received).ref, text: name });
    });
  });
  call.on('end', () => void last.then(() => call.end()));
}

export interface StoreOptions {
  readonly security?: Security;
  /** Further services of the server. */
  readonly more?: (server: grpc.Server) => void;
}

/** A server of the package, which the end of the test shuts down. Returns its address. */
export async function serveStore({ security = 'plaintext', more }: StoreOptions = {}): Promise<string> {
  const server = new grpcfd.Server();
  server.addService(storeService, { Put: put, Echo: echo });
  more?.(server);
  const address = freshAddress();
  await bind(server, address, grpcfd.serverCredentials(await stockServerCredentials(security)));
  defer(() => shutDown(server));
  return address;
}
