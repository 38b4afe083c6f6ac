/** The two that are compared: stock grpc-js, and this package around it. */
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { stockChannelCredentials, stockServerCredentials } from '../support/service.js';

export type Library = 'stock' | 'ours';
export type Transport = 'plaintext' | 'TLS';
export const TRANSPORTS: readonly Transport[] = ['plaintext', 'TLS'];

/** With GRPCFD_CONFORMANCE_SELF=1 stock is compared with itself: what differs then is a fault of the comparison. */
const comparesItself = process.env['GRPCFD_CONFORMANCE_SELF'] === '1';

/** Made once: a new TLS context for every run would take most of its time. */
const stock = new Map<Transport, Promise<[grpc.ChannelCredentials, grpc.ServerCredentials]>>();

function stockCredentials(security: Transport): Promise<[grpc.ChannelCredentials, grpc.ServerCredentials]> {
  const made = stock.get(security);
  if (made !== undefined) return made;
  const both = Promise.all([stockChannelCredentials(security), stockServerCredentials(security)]);
  stock.set(security, both);
  return both;
}

/** Whether it is this package, and so carries descriptors. */
export function isOurs(library: Library): boolean {
  return library === 'ours' && !comparesItself;
}

export async function channelCredentials(
  library: Library,
  security: Transport,
): Promise<grpc.ChannelCredentials> {
  return wrapChannel(library, (await stockCredentials(security))[0]);
}

export async function serverCredentials(
  library: Library,
  security: Transport,
): Promise<grpc.ServerCredentials> {
  return wrapServer(library, (await stockCredentials(security))[1]);
}

export function wrapChannel(library: Library, credentials: grpc.ChannelCredentials): grpc.ChannelCredentials {
  return isOurs(library) ? grpcfd.channelCredentials(credentials) : credentials;
}

export function wrapServer(library: Library, credentials: grpc.ServerCredentials): grpc.ServerCredentials {
  return isOurs(library) ? grpcfd.serverCredentials(credentials) : credentials;
}

export function newServer(library: Library, options: grpc.ServerOptions = {}): grpc.Server {
  return isOurs(library) ? new grpcfd.Server(options) : new grpc.Server(options);
}

/** Longer than the few turns that a script lets pass, so that it does not matter how long those take. */
const BACKOFF_MS = 4;
/** The back-off of grpc-js varies by a fifth. */
export const RECONNECT_MS = 5;

/** A client with connections of its own that reconnects soon. */
export async function newClient(
  library: Library,
  security: Transport,
  address: string,
  options: grpc.ClientOptions = {},
): Promise<grpc.Client> {
  return new grpc.Client(address, await channelCredentials(library, security), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.initial_reconnect_backoff_ms': BACKOFF_MS,
    'grpc.max_reconnect_backoff_ms': BACKOFF_MS,
    ...options,
  });
}
