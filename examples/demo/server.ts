// The server process of the demo: reads the files that it receives, and sends a receipt back.
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
  const pair = { private_key: pem('server.key'), cert_chain: pem('server.crt') };
  return grpc.ServerCredentials.createSsl(pem('client.crt'), [pair], true);
};
const credentials = grpcfd.serverCredentials(security === 'plaintext' ? undefined : tls());

const server = new grpcfd.Server();
server.addService(storeService, {
  Put: grpcfd.handler<PutRequest, PutReply>(async (call, fds) => {
    await using file = await fds.recvFile(call.request.file);
    const content = await file.readFile();
    const receipt = await namelessFile(`receipt for ${content.length} bytes, sha256 ${sha256(content)}\n`);
    const sent = fds.sendFile(receipt);
    await receipt.close(); // sendFile sent a duplicate
    return { bytes: content.length, sha256: sha256(content), receipt: sent.url };
  }),
});

server.bindAsync(`unix:${join(directory, `${security}.sock`)}`, credentials, (error) => {
  if (error !== null) throw error;
  process.send?.({ listening: true, descriptors: openDescriptors() });
});

process.on('message', (message) => {
  if (message === 'count') process.send?.({ descriptors: openDescriptors() });
  if (message === 'stop') server.tryShutdown(() => process.disconnect());
});
