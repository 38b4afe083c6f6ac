export {
  fdToUrl,
  filenameToUrl,
  fileToUrl,
  urlToDevIno,
} from './descriptor/inode-url.js';
export type { MapOptions, MappedMemory } from './descriptor/mapped-memory.js';
export { ReceivedFile } from './descriptor/received-file.js';
export {
  createSharedMemory,
  type SharedMemory,
  type SharedMemoryOptions,
} from './descriptor/shared-memory.js';
export { GrpcFdError, type GrpcFdErrorReason } from './errors.js';
export type { ReceiveOptions } from './exchange/pending-receive.js';
export {
  callCredentials,
  callCredentialsFromOptions,
  type FdCallCredentials,
  fromCallCredentials,
} from './grpc/call-credentials.js';
export { channelCredentials } from './grpc/channel-credentials.js';
export { handler } from './grpc/handler.js';
export type { FdConnectionOptions, FdServerOptions } from './grpc/options.js';
export type { SentFd } from './grpc/sent.js';
export { Server } from './grpc/server.js';
export { fromCall, tryFromCall } from './grpc/server-call.js';
export { serverCredentials } from './grpc/server-credentials.js';
export type { DescriptorSource } from './grpc/source.js';
export type {
  FdConnection,
  FdConnectionStats,
  FdServerCall,
  FdTransceiver,
  NamesOf,
  ReceivedFiles,
  Sendable,
  SendableFiles,
  SendFilenameOptions,
} from './grpc/transceiver.js';
