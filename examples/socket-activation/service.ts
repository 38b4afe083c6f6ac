// A service that keeps its listening socket when it restarts. A service manager hands the socket over, or the service makes it and stores
// it with the manager. `node service.js [PATH]`
import * as grpcfd from 'grpcfd';
import { type FdListener, listen, sendDatagram } from 'grpcfd/socket';
import { bind, newServer, shutDown } from '../handover/handover.js';

const [, , path] = process.argv;
const [given] = grpcfd.listenFds();
if (given === undefined && path === undefined) {
  throw new Error('no socket was handed over: start this with a service manager, or give a path');
}

const server = newServer(async (ref, fds) => {
  await using file = await fds.recvFile(ref);
  const socket = given === undefined ? 'a new socket' : `socket ${given.name}`;
  return `process ${process.pid}, ${socket}: ${await file.readFile('utf8')}`;
});
const credentials = grpcfd.serverCredentials();
let listener: FdListener | undefined;
if (given !== undefined) {
  await bind(server, `fd:${given.fd}`, credentials);
} else {
  // A listener tells the number of its socket, to store it. The next start finds the socket, so its file has to stay.
  listener = await listen({ path, unlinkOnClose: false });
  listener.on('connection', (socket) => {
    // A connection that comes after the shutdown has begun is refused: it is closed, and the client connects again.
    server.serveConnection(socket, credentials).catch(() => socket.destroy());
  });
  await notify('FDSTORE=1\nFDNAME=files', [listener.fd]);
}
await notify('READY=1');

process.once('SIGTERM', async () => {
  await listener?.close();
  await shutDown(server);
});

/** Tells the service manager something, if there is one that listens. */
async function notify(state: string, fds: readonly number[] = []): Promise<void> {
  const { NOTIFY_SOCKET: manager } = process.env;
  // A name that starts with @ is an abstract one.
  if (manager !== undefined) await sendDatagram(manager.replace(/^@/, '\0'), state, fds);
}
