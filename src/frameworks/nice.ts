/**
 * Descriptors in calls of nice-grpc. Its handlers get a context that hides the call of grpc-js, and its clients take no call credentials:
 * this module brings both with a middleware for each side. Importing it does what `grpcfd/register` does, because nice-grpc creates the
 * grpc.Server itself.
 *
 * @module grpcfd/nice
 */
import { randomUUID } from 'node:crypto';
import * as grpc from '@grpc/grpc-js';
import { ClientError, type ClientMiddleware, Metadata, ServerError, type ServerMiddleware } from 'nice-grpc';
import {
  channelCredentials,
  type FdCallCredentials,
  type FdServerCall,
  fromCall,
  GrpcFdError,
  tryFromCall,
} from '../index.js';
import '../register.js';

/** What {@link serverMiddleware} adds to the context of each handler. */
export interface FdsContext {
  /** The transceiver of the call. On a connection that carries no descriptors, reading it throws `ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT`. */
  readonly fds: FdServerCall;
}

/** What {@link clientMiddleware} adds to the options of each call. */
export interface FdsOptions {
  /** Credentials of `grpcfd.callCredentials()`, for this call. They stay the caller's, who closes them. */
  fds: FdCallCredentials;
}

/**
 * Stands in the metadata between an interceptor of grpc-js and a middleware of nice-grpc, in the same process. It is the name of a value
 * of bytes, since those keep their identity on that way: no client can send what finds a call.
 */
const SERVER_KEY = 'grpcfd-nice-bin';
const CLIENT_KEY = 'grpcfd-nice';

const CALL = Symbol('grpcfd call');

/** Not the key of a WeakMap: see `CallStream` in `server-call.ts`. */
interface CallKey extends Buffer {
  [CALL]?: object;
}

/** Options of `createServer()`. */
export interface FdsServerOptions {
  /** The one interceptor that {@link serverMiddleware} needs. */
  readonly interceptors: grpc.ServerInterceptor[];
}

/**
 * Remembers the call for {@link serverMiddleware}. Give it to the server: `createServer(serverOptions)`, or
 * `createServer({ ...serverOptions, … })`. Other interceptors can stand beside it.
 */
export const serverOptions: FdsServerOptions = {
  interceptors: [
    (_method, call) =>
      new grpc.ServerInterceptingCall(call, {
        start: (next) =>
          next({
            onReceiveMetadata(metadata, nextMetadata) {
              const key: CallKey = Buffer.alloc(1);
              key[CALL] = call;
              metadata.set(SERVER_KEY, key);
              nextMetadata(metadata);
            },
          }),
      }),
  ],
};

/**
 * Adds `fds` to the context of each handler: `createServer(serverOptions).use(serverMiddleware)`. A GrpcFdError that a handler throws
 * becomes the status of the call, with its own code and text. Put it before other middleware that uses `context.fds`.
 */
export const serverMiddleware: ServerMiddleware<FdsContext> = async function* withFds(call, context) {
  const [key] = context.metadata.getAll(SERVER_KEY);
  context.metadata.delete(SERVER_KEY);
  const grpcCall = typeof key === 'object' ? (key as CallKey)[CALL] : undefined;
  if (grpcCall === undefined) {
    throw new ServerError(
      grpc.status.INTERNAL,
      'serverMiddleware of grpcfd/nice needs its interceptor: createServer(serverOptions)',
    );
  }
  // Calls over other connections work, as long as nobody asks for descriptors.
  const fds = tryFromCall(grpcCall);
  const extended = fds !== undefined ? { ...context, fds } : withoutFds(context, grpcCall);
  try {
    return yield* call.next(call.request, extended);
  } catch (error) {
    throw error instanceof GrpcFdError ? new ServerError(error.code, error.details) : error;
  }
};

function withoutFds<Context extends object>(context: Context, grpcCall: object): Context & FdsContext {
  return Object.defineProperty({ ...context }, 'fds', {
    get: () => fromCall(grpcCall),
  }) as Context & FdsContext;
}

interface Sending {
  readonly fds: FdCallCredentials;
  /** Whether a channel has made a call with them. */
  used: boolean;
}

/** By the key that stands in the metadata of their calls. */
const sendings = new Map<string, Sending>();

/**
 * Takes `fds` among the options of each call: `createClientFactory().use(clientMiddleware)`. The channel has to be one of
 * {@link createChannel}: with any other one, the call fails. Attempts that grpc-js repeats by a service config send the descriptors again. A
 * middleware that makes a second call does not: `fds` is for one call.
 */
export const clientMiddleware: ClientMiddleware<FdsOptions> = async function* withFds(
  call,
  { fds, ...options },
) {
  if (fds === undefined) return yield* call.next(call.request, options);
  const sending: Sending = { fds, used: false };
  const key = randomUUID();
  sendings.set(key, sending);
  const metadata = Metadata(options.metadata).set(CLIENT_KEY, key);
  try {
    const reply = yield* call.next(call.request, { ...options, metadata });
    if (!sending.used) throw wrongChannel(call.method.path);
    return reply;
  } catch (error) {
    throw error instanceof ClientError && !sending.used ? wrongChannel(call.method.path) : error;
  } finally {
    sendings.delete(key);
  }
};

function wrongChannel(path: string): ClientError {
  return new ClientError(
    path,
    grpc.status.FAILED_PRECONDITION,
    'the channel cannot send the descriptors of `fds`: make it with createChannel() of grpcfd/nice',
  );
}

/**
 * Creates a channel that sends the descriptors of {@link clientMiddleware}. It takes the addresses of grpc-js as they are: `unix:path`,
 * `unix:///path`, `unix-abstract:name` and `fd:N`.
 *
 * @param address of the server
 * @param credentials of the channel. Default: `grpcfd.channelCredentials()`, in plaintext
 * @param options of the channel. Default: none
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`
 */
export function createChannel(
  address: string,
  credentials: grpc.ChannelCredentials = channelCredentials(),
  options: grpc.ChannelOptions = {},
): grpc.Channel {
  return new SendingChannel(address, credentials, options);
}

type CreateCall = grpc.Channel['createCall'];

class SendingChannel extends grpc.Channel {
  override createCall(...args: Parameters<CreateCall>): ReturnType<CreateCall> {
    const call = super.createCall(...args);
    call.start = (metadata, listener) => {
      // That of its class, which the credentials of grpcfd replace.
      Reflect.deleteProperty(call, 'start');
      const [key] = metadata.get(CLIENT_KEY);
      metadata.remove(CLIENT_KEY);
      const sending = sendings.get(String(key));
      if (sending !== undefined) {
        sending.used = true;
        call.setCredentials(sending.fds);
      }
      call.start(metadata, listener);
    };
    return call;
  }
}
