/** The door for `import`. Everything lives once in a process, in the CommonJS modules behind both doors. */
export type * from './index.js';
export {
  callCredentials,
  callCredentialsFromOptions,
  channelCredentials,
  createEventFd,
  createSharedMemory,
  fdToUrl,
  filenameToUrl,
  fileToUrl,
  fromCall,
  fromCallCredentials,
  GrpcFdError,
  handler,
  listenFds,
  openFile,
  ReceivedFile,
  Server,
  serverCredentials,
  supported,
  tryFromCall,
  urlToDevIno,
} from './index.js';
