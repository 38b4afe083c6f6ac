// What grpc-tools makes of store.proto, with less around it.
const grpc = require('@grpc/grpc-js');
const { File, Text } = require('./store_pb.js');

const conversions = (kind, Message) => ({
  [`${kind}Type`]: Message,
  [`${kind}Serialize`]: (message) => Buffer.from(message.serializeBinary()),
  [`${kind}Deserialize`]: (bytes) => Message.deserializeBinary(new Uint8Array(bytes)),
});

const method = (name, Request, Response, { requestStream = false, responseStream = false } = {}) => ({
  path: `/store.Store/${name}`,
  requestStream,
  responseStream,
  ...conversions('request', Request),
  ...conversions('response', Response),
});

exports.StoreService = {
  put: method('Put', File, Text),
  get: method('Get', Text, File),
  putAll: method('PutAll', File, Text, { requestStream: true }),
  getAll: method('GetAll', Text, File, { responseStream: true }),
  exchange: method('Exchange', File, File, { requestStream: true, responseStream: true }),
};
exports.StoreClient = grpc.makeGenericClientConstructor(exports.StoreService, 'Store');
