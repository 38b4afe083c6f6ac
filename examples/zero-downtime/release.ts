// One release of the web server. It takes over from the release before it, serves, and hands over to the next one.
// `node release.js NUMBER ADDRESS`, where ADDRESS is that of the hand-over.
import * as http from 'node:http';
import * as net from 'node:net';
import * as grpcfd from 'grpcfd';
import {
  bind,
  type Gift,
  HandoverClient,
  handoverService,
  shutDown,
  type Thanks,
} from '../handover/handover.js';

const [, , release = '1', address = ''] = process.argv;

/** What the release before gives: the names of its sockets. */
interface Estate {
  readonly server: string;
  readonly live: string[];
}

const web = http.createServer((_request, response) => {
  // Who stays connected connects to the next release for its next request.
  if (hasHandedOver) response.setHeader('connection', 'close');
  response.end(release);
});
const live = new Set<net.Socket>();
let hasHandedOver = false;

web.on('upgrade', (_request, socket: net.Socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: talk\r\n\r\n');
  talk(socket);
});

function talk(socket: net.Socket): void {
  live.add(socket);
  socket.on('data', (lines) => {
    for (const line of String(lines).trim().split('\n')) socket.write(`${release} ${line}\n`);
  });
  socket.on('close', () => live.delete(socket));
}

await takeOver();
const offer = await offerToNext();
process.send?.((web.address() as net.AddressInfo).port);
process.once('message', () => void stop());

/** Serves with the sockets of the release before, or with a new one. */
async function takeOver(): Promise<void> {
  if (release === '1') {
    web.listen(0, '127.0.0.1');
    await new Promise((resolve) => web.once('listening', resolve));
    return;
  }
  const client = new HandoverClient(address, grpcfd.channelCredentials());
  using fds = grpcfd.callCredentials();
  const { text } = await client.give({ file: 'what you have' }, fds.options());
  const estate: Estate = JSON.parse(text);
  (await fds.recvFile(estate.server)).toServer({ server: web });
  for (const name of estate.live) talk((await fds.recvFile(name)).toSocket());
  // Only now does the release before stop: there is always one that accepts.
  await client.give({ file: 'it is served' }, {});
  client.close();
}

/** Hands over to the next release when that asks for it. */
async function offerToNext(): Promise<grpcfd.Server> {
  const server = new grpcfd.Server();
  server.addService(handoverService, {
    Give: grpcfd.handler<Gift, Thanks>(async (call, fds) => {
      if (call.request.file === 'it is served') {
        void stop();
        return { text: 'goodbye' };
      }
      const estate: Estate = { server: fds.sendFile(web).ref, live: [...live].map(handOver(fds)) };
      return { text: JSON.stringify(estate) };
    }),
  });
  await bind(server, address, grpcfd.serverCredentials());
  return server;
}

/** Each line is answered at once, so nothing is in a buffer here. What comes from now on is for the next release. */
const handOver = (fds: grpcfd.FdServerCall) => (socket: net.Socket) => {
  const { ref } = fds.sendFile(socket);
  socket.destroy();
  return ref;
};

async function stop(): Promise<void> {
  hasHandedOver = true;
  // close() of an http.Server would also close connections without a request, and a request may be on its way.
  net.Server.prototype.close.call(web);
  await shutDown(offer);
  if (process.connected) process.disconnect();
}
