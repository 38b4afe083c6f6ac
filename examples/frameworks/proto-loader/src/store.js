const { join } = require('node:path');
const grpc = require('@grpc/grpc-js');
const { loadSync } = require('@grpc/proto-loader');

/** The client of the service; `Store.service` is its definition. */
exports.Store = grpc.loadPackageDefinition(loadSync(join(__dirname, '../store.proto'))).store.Store;
