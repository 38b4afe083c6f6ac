import { once } from 'node:events';
import * as http2 from 'node:http2';
import * as tls from 'node:tls';
import { native } from '#src/native/binding.js';
import { bridged } from './bridged.js';
import { certificates } from './certificates.js';

/** An HTTP/2 session over a socket of ours at each end, with TLS in between or not. */
export async function sessions(secure: boolean) {
  const { server: pair } = await certificates();
  const server = secure ? http2.createSecureServer(pair) : http2.createServer();
  server.on('stream', (stream: http2.ServerHttp2Stream) => {
    stream.respond();
    stream.pipe(stream);
  });
  const [a, b] = native.socketPair();
  const near = bridged(a);
  const far = bridged(b);
  const serverSession = once(server, 'session') as Promise<[http2.ServerHttp2Session]>;
  server.emit('connection', far.socket);
  const options = { socket: near.socket, ca: pair.cert, servername: 'localhost', ALPNProtocols: ['h2'] };
  const transport = secure ? tls.connect(options) : near.socket;
  const client = http2.connect('http://localhost', { createConnection: () => transport });
  const [session] = await serverSession;
  return { near, far, transport, client, session };
}
