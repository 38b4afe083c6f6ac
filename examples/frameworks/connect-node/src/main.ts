// The server and the client of this example in one process, so that one command shows both.
import { promisify } from 'node:util';
import { generate } from 'selfsigned';
import { run } from './client.js';
import { listen } from './server.js';

const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }]);

const ROUNDS = [{ name: 'plaintext' }, { name: 'TLS', server: { key, cert }, client: { ca: cert } }];

for (const { name, server, client } of ROUNDS) {
  console.log(`${name}:`);
  const listening = await listen('store.sock', server);
  await run('unix:store.sock', client);
  await promisify(listening.close.bind(listening))();
}
