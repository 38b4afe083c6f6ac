const { promisify } = require('node:util');
const grpcfd = require('grpcfd');
const { File, Text } = require('./store_pb.js');
const { StoreService } = require('./store_grpc_pb.js');

const PATHS = ['package.json', 'store.proto'];

const store = {
  put: grpcfd.handler(async ({ request }, fds) => {
    // recvFiles() takes fields, and messages of google-protobuf have getters.
    const { file } = await fds.recvFiles(request.toObject(), ['file']);
    try {
      return new Text().setText(String(await file.readFile()));
    } finally {
      await file.close();
    }
  }),

  get: grpcfd.handler(async (_call, fds) =>
    new File().setFile(fds.sendFilename(PATHS[0], { flags: 'r' }).ref),
  ),

  putAll: grpcfd.handler(async (call, fds) => {
    const texts = [];
    for await (const message of call) {
      const file = await fds.recvFile(message.getFile());
      texts.push(String(await file.readFile()));
      await file.close();
    }
    return new Text().setText(texts.join(''));
  }),

  getAll: grpcfd.handler(async (call, fds) => {
    for (const path of PATHS) call.write(new File().setFile(fds.sendFilename(path, { flags: 'r' }).ref));
  }),

  exchange: grpcfd.handler(async (call, fds) => {
    for await (const message of call) {
      const file = await fds.recvFile(message.getFile());
      call.write(new File().setFile(fds.sendFile(file).ref));
      await file.close();
    }
  }),
};

exports.listen = async (address, inner) => {
  const server = new grpcfd.Server();
  server.addService(StoreService, store);
  await promisify(server.bindAsync.bind(server))(address, grpcfd.serverCredentials(inner));
  return server;
};
