/**
 * Bytes and file descriptors over one unix socket, without gRPC.
 *
 * @module grpcfd/socket
 */
export type { PeerCredentials } from '../native/peer-types.js';
export { type ConnectOptions, connect } from './connect.js';
export { type DatagramOptions, sendDatagram } from './datagram.js';
export { FdListener, type FdListenerEvents, type ListenOptions, listen } from './fd-listener.js';
export { FdSocket, type FdSocketOptions, type FdSocketStats, type FdsListener } from './fd-socket.js';
export { type ListenFd, listenFds } from './listen-fds.js';
export { closeFds, identifyFds } from './received-fds.js';
export { socketPair } from './socket-pair.js';
