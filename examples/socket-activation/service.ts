// A service that a service manager starts with its listening socket. `node service.js`
import * as grpcfd from 'grpcfd';
import { bind, type Gift, handoverService, shutDown, type Thanks } from '../handover/handover.js';
import { listenFds } from './listen-fds.js';

const [socket] = listenFds();
if (socket === undefined) throw new Error('no socket was handed over: start this with a service manager');

const server = new grpcfd.Server();
server.addService(handoverService, {
  Give: grpcfd.handler<Gift, Thanks>(async (call, fds) => {
    await using file = await fds.recvFile(call.request.file);
    return { text: `process ${process.pid}, socket ${socket.name}: ${await file.readFile('utf8')}` };
  }),
});
await bind(server, `fd:${socket.fd}`, grpcfd.serverCredentials());
process.once('SIGTERM', () => void shutDown(server));
