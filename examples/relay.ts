// A process between two others: `node relay.js LISTEN BACKEND`, two unix addresses. It forwards the files of a call to the backend
// and the files of the reply to the caller. It uses the service of interop/, so that both others can be Go programs.
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import * as grpcfd from 'grpcfd';

/** The files of a request or a reply. All other fields are passed on unchanged. */
interface Message {
  files: { url: string }[];
}

const proto = fileURLToPath(new URL('../../interop/proto/interop.proto', import.meta.url));
const definition = loadSync(proto, { arrays: true });
const service = definition['grpcfd.interop.v1.Exchange'] as grpc.ServiceDefinition;
const [listen, backend] = process.argv.slice(2);
if (listen === undefined || backend === undefined) throw new Error('usage: node relay.js LISTEN BACKEND');

const Client = grpc.makeGenericClientConstructor(service, 'Exchange');
const client = new Client(backend, grpcfd.channelCredentials());
const ask = (request: Message, options: grpc.CallOptions) =>
  new Promise<Message>((resolve, reject) => {
    client['Unary']?.(request, options, (error: Error | null, reply: Message) =>
      error ? reject(error) : resolve(reply),
    );
  });

const server = new grpcfd.Server();
server.addService(service, {
  Unary: grpcfd.handler<Message, Message>(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
    using onward = grpcfd.callCredentials();
    // A file keeps its inode in every process, so the URLs in the messages stay valid.
    for (const { url } of call.request.files) await onward.forward(fds, url);
    const reply = await ask(call.request, onward.options({ deadline: call.getDeadline() }));
    for (const { url } of reply.files) await fds.forward(onward, url);
    console.log(`${call.request.files.length} files passed on, ${reply.files.length} passed back`);
    return reply;
  }),
});
await promisify(server.bindAsync.bind(server))(listen, grpcfd.serverCredentials());
console.log(`relays ${listen} to ${backend}`);

process.once('SIGTERM', () => {
  client.close();
  server.forceShutdown();
});
