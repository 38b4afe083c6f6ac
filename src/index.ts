/**
 * File descriptors that travel with gRPC calls over unix domain sockets.
 *
 * @module grpcfd
 */

export type { DialOptions } from './descriptor/dial.js';
export type { DirectoryEntry, OpenInOptions, ReaddirOptions } from './descriptor/directory.js';
export { createEventFd, type EventFd, type EventFdValuesOptions } from './descriptor/event-fd.js';
export type { FilePosition } from './descriptor/file-content.js';
export type { Expectation, FileAccess } from './descriptor/file-kind.js';
export type { FileRead, FileReadOptions, FileWritten, ReadFileOptions } from './descriptor/file-options.js';
export type { FileStreamOptions, ReadStreamOptions, WriteStreamOptions } from './descriptor/file-streams.js';
export { type DevIno, fdToUrl, filenameToUrl, fileToUrl, urlToDevIno } from './descriptor/inode-url.js';
export type { MapOptions, MappedMemory } from './descriptor/mapped-memory.js';
export type { Namespace, NamespaceType } from './descriptor/namespace.js';
export { type OpenFileOptions, openFile } from './descriptor/open-chosen-file.js';
export type { Directory } from './descriptor/open-in-thread.js';
export { ReceivedFile } from './descriptor/received-file.js';
export {
  createSharedMemory,
  type SharedMemory,
  type SharedMemoryOptions,
} from './descriptor/shared-memory.js';
export type {
  SocketEndpoint,
  SocketFamily,
  SocketInfo,
  SocketType,
} from './descriptor/socket-info.js';
export type { ToFdSocketOptions, ToServerOptions, ToSocketOptions } from './descriptor/take-over.js';
export { GrpcFdError, type GrpcFdErrorReason } from './errors.js';
export {
  callCredentials,
  callCredentialsFromOptions,
  type FdCallCredentials,
  type FdCallOptions,
  fromCallCredentials,
} from './grpc/client/call-credentials.js';
export { channelCredentials } from './grpc/client/channel-credentials.js';
export { type FdHttp2Client, type FdHttp2ClientOptions, http2Client } from './grpc/client/http2-client.js';
export type {
  ConnectionCloseEvent,
  ConnectionOpenEvent,
  ConnectionRefusedEvent,
  FdClosedEvent,
  FdEvent,
  FdLostEvent,
  FdRefusalReason,
  FdRefusedEvent,
} from './grpc/diagnostics.js';
export type {
  FdConnection,
  FdConnectionStats,
  FdServerCall,
  FdTransceiver,
  NamesOf,
  ReceivedFiles,
  SendableFiles,
  SendFilenameOptions,
} from './grpc/fd-transceiver.js';
export type { MethodRule } from './grpc/method-rules.js';
export type { ConnectedSocket } from './grpc/open-socket.js';
export type { FdChannelOptions, FdConnectionOptions, FdServerOptions } from './grpc/options.js';
export type { Peer } from './grpc/peer.js';
export type { ReceiveFileOptions, ReceiveFilesOptions } from './grpc/receive-options.js';
export type { DescriptorSource } from './grpc/reference.js';
export type { RefusalReason } from './grpc/refusal.js';
export type { SentFd } from './grpc/send-outcome.js';
export type { HasFd, Sendable, SendableObject } from './grpc/sendable.js';
export { handler } from './grpc/server/handler.js';
export { carryDescriptorsOn, type ServeConnectionOptions, Server } from './grpc/server/server.js';
export { fromCall, tryFromCall } from './grpc/server/server-call.js';
export { serverCredentials } from './grpc/server/server-credentials.js';
export { type FdStats, stats } from './grpc/totals.js';
export type { CloseReason } from './inbox/inbox-watcher.js';
export type { ReceiveOptions } from './inbox/pending-receive.js';
export type { FileKind } from './native/file-types.js';
export { supported } from './native/load.js';
export type { PeerCredentials } from './native/peer-types.js';
export { type ListenFd, listenFds } from './socket/listen-fds.js';
