// The server and the client of this example in one process, so that one command shows both.
import { promisify } from 'node:util';
import { ChannelCredentials, ServerCredentials } from '@grpc/grpc-js';
import { generate } from 'selfsigned';
import { run } from './client.js';
import { listen } from './server.js';

const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }]);
const [keyBytes, certificate] = [Buffer.from(key), Buffer.from(cert)];

const ROUNDS = [
  { name: 'plaintext' },
  {
    name: 'TLS',
    server: ServerCredentials.createSsl(null, [{ private_key: keyBytes, cert_chain: certificate }]),
    client: ChannelCredentials.createSsl(certificate),
  },
];

for (const { name, server, client } of ROUNDS) {
  console.log(`${name}:`);
  const listening = await listen('unix:store.sock', server);
  await run('unix:store.sock', client);
  await promisify(listening.tryShutdown.bind(listening))();
}
