const assert = require('node:assert/strict');
const { readFile } = require('node:fs/promises');
const { promisify } = require('node:util');
const grpc = require('@grpc/grpc-js');
const grpcfd = require('grpcfd');
const { File, Text } = require('./store_pb.js');
const { StoreClient } = require('./store_grpc_pb.js');

const PATHS = ['package.json', 'store.proto'];

exports.run = async (address, inner) => {
  const client = new StoreClient(address, grpcfd.channelCredentials(inner));
  const put = promisify(client.put.bind(client));
  const get = promisify(client.get.bind(client));
  const contents = await Promise.all(PATHS.map((path) => readFile(path, 'utf8')));

  await withFds(async (fds) => {
    const reply = await put(fileOf(PATHS[0], fds), fds.options());
    assert.equal(reply.getText(), contents[0]);
    console.log('put: the server read the file of the client');
  });
  await withFds(async (fds) => {
    const reply = await get(new Text(), fds.options());
    assert.equal(await read(reply, fds), contents[0]);
    console.log('get: the client read the file of the server');
  });
  await withFds(async (fds) => {
    const reply = await new Promise((resolve, reject) => {
      const call = client.putAll(fds.options(), (error, text) => (error ? reject(error) : resolve(text)));
      send(call, fds);
    });
    assert.equal(reply.getText(), contents.join(''));
    console.log('putAll: the server read two files of one stream');
  });
  await withFds(async (fds) => {
    const texts = [];
    for await (const reply of client.getAll(new Text(), fds.options())) texts.push(await read(reply, fds));
    assert.deepEqual(texts, contents);
    console.log('getAll: the client read two files of one stream');
  });
  await withFds(async (fds) => {
    const texts = [];
    const call = client.exchange(fds.options());
    send(call, fds);
    for await (const reply of call) texts.push(await read(reply, fds));
    assert.deepEqual(texts, contents);
    console.log('exchange: two files went there and back');
  });
  await withFds(async (fds) => {
    const failure = await put(new File().setFile('fd:nobody:1'), fds.options()).catch((error) => error);
    console.log(`a wrong name: ${grpc.status[failure.code]}`);
  });
  client.close();
};

/** Credentials for one call. */
async function withFds(use) {
  const fds = grpcfd.callCredentials();
  try {
    await use(fds);
  } finally {
    fds.close();
  }
}

const fileOf = (path, fds) => new File().setFile(fds.sendFilename(path, { flags: 'r' }).ref);

function send(call, fds) {
  for (const path of PATHS) call.write(fileOf(path, fds));
  call.end();
}

async function read(message, fds) {
  const file = await fds.recvFile(message.getFile());
  try {
    return String(await file.readFile());
  } finally {
    await file.close();
  }
}
