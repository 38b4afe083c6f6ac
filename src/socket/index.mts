/** The door for `import`: see ../index.mts. */
export type * from './index.js';
export {
  closeFds,
  connect,
  FdListener,
  FdSocket,
  identifyFds,
  listen,
  listenFds,
  sendDatagram,
  socketPair,
} from './index.js';
