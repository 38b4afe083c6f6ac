const { exporter } = require('./tracing.js');
const assert = require('node:assert/strict');
const { readFile } = require('node:fs/promises');
const { join } = require('node:path');
const { promisify } = require('node:util');
const grpc = require('@grpc/grpc-js');
const xds = require('@grpc/grpc-js-xds');
const { loadSync } = require('@grpc/proto-loader');
const { ReflectionService } = require('@grpc/reflection');
const { SpanKind } = require('@opentelemetry/api');
const health = require('grpc-health-check');
const grpcfd = require('grpcfd');

const ADDRESS = 'unix:store.sock';
const definition = loadSync(join(__dirname, '../store.proto'));
const { Store } = grpc.loadPackageDefinition(definition).store;
const Health = grpc.makeGenericClientConstructor(health.service, 'Health');

async function main() {
  xds.register(); // xds: targets beside unix: ones
  const server = new grpcfd.Server();
  server.addService(Store.service, {
    put: grpcfd.handler(async (call, fds) => {
      const file = await fds.recvFile(call.request.file);
      try {
        return { text: String(await file.readFile()) };
      } finally {
        await file.close();
      }
    }),
    getAll: grpcfd.handler(async (call, fds) => {
      call.write({ file: fds.sendFilename('package.json', { flags: 'r' }).ref });
    }),
  });
  new health.HealthImplementation({ 'store.Store': 'SERVING' }).addToServer(server);
  new ReflectionService(definition).addToServer(server);
  await promisify(server.bindAsync.bind(server))(ADDRESS, grpcfd.serverCredentials());

  const credentials = grpcfd.channelCredentials();
  const clients = [new Store(ADDRESS, credentials), new Health(ADDRESS, credentials)];
  const [store, checker] = clients;
  const content = await readFile('package.json', 'utf8');

  const fds = grpcfd.callCredentials();
  const { ref } = fds.sendFilename('package.json', { flags: 'r' });
  const { text } = await promisify(store.put.bind(store))({ file: ref }, fds.options());
  fds.close();
  assert.equal(text, content);
  console.log('the server read the file of the client');

  const back = grpcfd.callCredentials();
  for await (const reply of store.getAll({}, back.options())) {
    const file = await back.recvFile(reply.file);
    assert.equal(String(await file.readFile()), content);
    await file.close();
  }
  back.close();
  console.log('the client read the file of the server');

  const { status } = await promisify(checker.check.bind(checker))({ service: 'store.Store' });
  console.log(`health: ${status}`);

  console.log(`reflection: ${(await servicesOf(ADDRESS, credentials)).join(', ')}`);

  const spans = exporter.getFinishedSpans().filter(({ name }) => name.includes('Put'));
  const kinds = spans.map(({ kind }) => SpanKind[kind]).sort();
  console.log(`spans of the first call: ${kinds.join(', ')}`);

  for (const client of clients) client.close();
  await promisify(server.tryShutdown.bind(server))();
}

/** What a tool such as grpcurl asks a server for. */
function servicesOf(address, credentials) {
  const { reflection } = grpc.loadPackageDefinition(
    loadSync(require.resolve('@grpc/reflection/build/proto/grpc/reflection/v1/reflection.proto')),
  ).grpc;
  const client = new reflection.v1.ServerReflection(address, credentials);
  return new Promise((resolve, reject) => {
    const call = client.serverReflectionInfo();
    call.on('error', reject);
    call.on('data', ({ listServicesResponse }) => {
      call.end();
      client.close();
      resolve(listServicesResponse.service.map(({ name }) => name).sort());
    });
    call.write({ listServices: '*' });
  });
}

main();
