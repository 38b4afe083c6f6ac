// The server and the client of this example in one process, so that one command shows both.
const { promisify } = require('node:util');
const { ChannelCredentials, ServerCredentials } = require('@grpc/grpc-js');
const { generate } = require('selfsigned');
const { run } = require('./client.js');
const { listen } = require('./server.js');

async function main() {
  const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }]);
  const [keyBytes, certificate] = [Buffer.from(key), Buffer.from(cert)];

  const rounds = [
    { name: 'plaintext' },
    {
      name: 'TLS',
      server: ServerCredentials.createSsl(null, [{ private_key: keyBytes, cert_chain: certificate }]),
      client: ChannelCredentials.createSsl(certificate),
    },
  ];

  for (const { name, server, client } of rounds) {
    console.log(`${name}:`);
    const listening = await listen('unix:store.sock', server);
    await run('unix:store.sock', client);
    await promisify(listening.tryShutdown.bind(listening))();
  }
}

main();
