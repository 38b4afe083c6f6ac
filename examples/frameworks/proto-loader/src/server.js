const { promisify } = require('node:util');
const grpcfd = require('grpcfd');
const { Store } = require('./store.js');

const PATHS = ['package.json', 'store.proto'];

const store = {
  put: grpcfd.handler(async ({ request }, fds) => {
    const { file } = await fds.recvFiles(request, ['file']);
    try {
      return { text: String(await file.readFile()) };
    } finally {
      await file.close();
    }
  }),

  get: grpcfd.handler(async (_call, fds) => ({ file: fds.sendFilename(PATHS[0], { flags: 'r' }).ref })),

  putAll: grpcfd.handler(async (call, fds) => {
    const texts = [];
    for await (const message of call) {
      const file = await fds.recvFile(message.file);
      texts.push(String(await file.readFile()));
      await file.close();
    }
    return { text: texts.join('') };
  }),

  getAll: grpcfd.handler(async (call, fds) => {
    for (const path of PATHS) call.write({ file: fds.sendFilename(path, { flags: 'r' }).ref });
  }),

  exchange: grpcfd.handler(async (call, fds) => {
    for await (const message of call) {
      const file = await fds.recvFile(message.file);
      call.write({ file: fds.sendFile(file).ref });
      await file.close();
    }
  }),
};

exports.listen = async (address, inner) => {
  const server = new grpcfd.Server();
  server.addService(Store.service, store);
  await promisify(server.bindAsync.bind(server))(address, grpcfd.serverCredentials(inner));
  return server;
};
