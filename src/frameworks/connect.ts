/**
 * Descriptors in calls of Connect for Node.js, over the gRPC protocol. Connect has no grpc-js below it: its servers are those of
 * node:http2, for `grpcfd.carryDescriptorsOn()`, and its clients manage HTTP/2 sessions themselves.
 *
 * @module grpcfd/connect
 */
import { randomUUID } from 'node:crypto';
import type { ClientHttp2Stream, ClientSessionRequestOptions, OutgoingHttpHeaders } from 'node:http2';
import {
  type CallOptions,
  ConnectError,
  type ContextKey,
  type ContextValues,
  createContextKey,
  createContextValues,
  type HandlerContext,
  type Interceptor,
} from '@connectrpc/connect';
import { Http2SessionManager, type Http2SessionOptions } from '@connectrpc/connect-node';
import {
  type FdCallCredentials,
  type FdHttp2Client,
  type FdHttp2ClientOptions,
  type FdServerCall,
  fromCall,
  GrpcFdError,
  http2Client,
} from '../index.js';

const requestKey: ContextKey<object | undefined> = createContextKey<object | undefined>(undefined, {
  description: 'request of node:http2',
});

/**
 * The transceiver of a call, in its handler.
 *
 * @param context the second argument of the handler. Its adapter needs {@link adapterOptions}
 * @throws GrpcFdError `ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT` on a connection that carries no descriptors; `ERR_GRPCFD_INVALID_ARGUMENT`
 */
export function fdsOf(context: Pick<HandlerContext, 'values'>): FdServerCall {
  return fromCall(context.values.get(requestKey) ?? {});
}

/** Makes a GrpcFdError of a handler the status of its call. */
const tellErrors: Interceptor = (next) => async (request) => {
  try {
    const response = await next(request);
    return response.stream ? { ...response, message: tellErrorsOf(response.message) } : response;
  } catch (error) {
    throw toConnectError(error);
  }
};

async function* tellErrorsOf<Message>(messages: AsyncIterable<Message>): AsyncIterable<Message> {
  try {
    yield* messages;
  } catch (error) {
    throw toConnectError(error);
  }
}

function toConnectError(error: unknown): unknown {
  return error instanceof GrpcFdError
    ? new ConnectError(error.details, error.code, undefined, undefined, error)
    : error;
}

/** Options of `connectNodeAdapter()`. */
export interface FdsAdapterOptions {
  /** Remembers the request for {@link fdsOf}. */
  readonly contextValues: (request: object) => ContextValues;
  /** The one that makes a GrpcFdError of a handler the status of its call. */
  readonly interceptors: Interceptor[];
}

/**
 * Options of `connectNodeAdapter()`: `connectNodeAdapter({ routes, ...adapterOptions })`. With them {@link fdsOf} finds the call, and a
 * GrpcFdError of a handler becomes its status.
 */
export const adapterOptions: FdsAdapterOptions = {
  contextValues: (request) => createContextValues().set(requestKey, request),
  interceptors: [tellErrors],
};

const credentialsKey: ContextKey<FdCallCredentials | undefined> = createContextKey<
  FdCallCredentials | undefined
>(undefined, { description: 'grpcfd.callCredentials()' });

/**
 * Options for one call with descriptors: `client.put(request, withFds(fds))`. The transport needs {@link transportOptions}. If it has another
 * session manager, the call fails with a ConnectError whose `cause` is a GrpcFdError `ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT`, and nothing is sent.
 *
 * @param fds credentials of the call, which stay the caller's
 * @param options further options. Default: none
 */
export function withFds(fds: FdCallCredentials, options: CallOptions = {}): CallOptions {
  const base = options.contextValues ?? createContextValues();
  const own = createContextValues().set(credentialsKey, fds);
  // Several calls may share the values of the caller, and each has descriptors of its own.
  const ofKey = (key: ContextKey<unknown>) => (key.id === credentialsKey.id ? own : base);
  const contextValues: ContextValues = {
    get: (key) => ofKey(key).get(key),
    set(key, value) {
      ofKey(key).set(key, value);
      return this;
    },
    delete(key) {
      ofKey(key).delete(key);
      return this;
    },
  };
  return { ...options, contextValues };
}

/**
 * Between the interceptor and the session manager, which share nothing but the headers of the call. No HTTP/2 request may have this header,
 * so another session manager, which leaves it in, has the call fail before anything is sent (ERR_HTTP2_INVALID_CONNECTION_HEADERS).
 */
const KEY = 'http2-settings';

interface Sending {
  readonly fds: FdCallCredentials;
  /** Whether a session manager has made a call with them. */
  used: boolean;
}

const sendings = new Map<string, Sending>();

const passFds: Interceptor = (next) => async (request) => {
  const fds = request.contextValues.get(credentialsKey);
  if (fds === undefined) return next(request);
  const key = randomUUID();
  const sending: Sending = { fds, used: false };
  sendings.set(key, sending);
  request.header.set(KEY, key);
  try {
    const response = await next(request);
    // HTTP/1.1 lets the header through.
    if (!sending.used) throw wrongSessionManager();
    return response;
  } catch (error) {
    const { cause } = error as Error;
    if (cause instanceof GrpcFdError) throw toConnectError(cause);
    const isForbidden = (cause as NodeJS.ErrnoException)?.code === 'ERR_HTTP2_INVALID_CONNECTION_HEADERS';
    throw isForbidden && !sending.used ? toConnectError(wrongSessionManager()) : toConnectError(error);
  } finally {
    sendings.delete(key);
  }
};

function wrongSessionManager(): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT',
    'the transport cannot send the descriptors of withFds(): make it with createGrpcTransport(transportOptions(address))',
  );
}

class FdSessionManager extends Http2SessionManager {
  readonly #client: FdHttp2Client;

  constructor(url: string, client: FdHttp2Client, options: Http2SessionOptions | undefined) {
    super(url, options, { createConnection: client.createConnection });
    this.#client = client;
  }

  override async request(
    method: string,
    path: string,
    { [KEY]: key, ...headers }: OutgoingHttpHeaders,
    options: Omit<ClientSessionRequestOptions, 'signal'>,
  ): Promise<ClientHttp2Stream> {
    const sending = sendings.get(String(key));
    if (sending === undefined) return super.request(method, path, headers, options);
    sending.used = true;
    return this.#client.call(sending.fds, (more) =>
      super.request(method, path, { ...headers, ...more }, options),
    );
  }
}

/** Options of `createGrpcTransport()`. */
export interface FdsTransportOptions {
  /** `http://localhost` or `https://localhost`. It becomes the authority of the calls. */
  readonly baseUrl: string;
  /** Makes the connections. `abort()` closes them. With another one, a call of {@link withFds} fails. */
  readonly sessionManager: Http2SessionManager;
  /** The one that passes the credentials of {@link withFds} on. */
  readonly interceptors: Interceptor[];
}

/**
 * Options of `createGrpcTransport()`: `createGrpcTransport(transportOptions('unix:/run/store.sock'))`. To close its connection, call
 * `sessionManager.abort()`. An idle one does not keep the process alive.
 *
 * @param address `unix:path`, `unix:///path` or `unix-abstract:name`
 * @param options of the connections. Default: plaintext
 * @param sessionOptions of the HTTP/2 sessions, such as `pingIntervalMs`. Default: those of Connect
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`
 */
export function transportOptions(
  address: string,
  options: FdHttp2ClientOptions = {},
  sessionOptions?: Http2SessionOptions,
): FdsTransportOptions {
  const baseUrl = options.tls === undefined ? 'http://localhost' : 'https://localhost';
  const sessionManager = new FdSessionManager(baseUrl, http2Client(address, options), sessionOptions);
  return { baseUrl, sessionManager, interceptors: [passFds] };
}
