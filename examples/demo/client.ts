// The client process of the demo: sends a file to the server, reads the receipt that it receives, and checks both.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import {
  namelessFile,
  openDescriptors,
  type PutReply,
  type PutRequest,
  sha256,
  storeService,
} from './store.js';

const [directory = '.', security = 'plaintext'] = process.argv.slice(2);

const tls = () => {
  const pem = (name: string) => readFileSync(join(directory, name));
  return grpc.credentials.createSsl(pem('server.crt'), pem('client.key'), pem('client.crt'));
};
let closed: Promise<void> | undefined;
const credentials = grpcfd.channelCredentials(security === 'plaintext' ? undefined : tls(), {
  onConnection: (connection) => {
    closed = connection.closed;
  },
});
const Store = grpc.makeGenericClientConstructor(storeService, 'Store');
const client = new Store(`unix:${join(directory, `${security}.sock`)}`, credentials);

const put = (request: PutRequest, options: grpc.CallOptions) =>
  new Promise<PutReply>((resolve, reject) => {
    client['Put']?.(request, options, (error: Error | null, reply: PutReply) =>
      error ? reject(error) : resolve(reply),
    );
  });

const before = openDescriptors();

const content = Buffer.alloc(1 << 20, `${security} `);
const file = await namelessFile(content);
const fds = grpcfd.callCredentials();
const { url } = fds.sendFile(file);
await file.close(); // sendFile sent a duplicate

const reply = await put({ file: url }, fds.options());
const receipt = await fds.recvFile(reply.receipt);
const text = (await receipt.readFile()).toString();
const { kind } = receipt;
await receipt.close();
fds.close();
client.close();

process.send?.({
  url,
  bytes: reply.bytes,
  sha256: { client: sha256(content), server: reply.sha256 },
  receipt: { url: reply.receipt, kind, text },
});
process.on('message', async () => {
  await closed; // HTTP/2 sends GOAWAY first, which takes a turn or two of the event loop
  process.send?.({ descriptors: { before, after: openDescriptors() } });
  process.disconnect();
});
