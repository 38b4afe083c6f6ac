import type {
  ClientHttp2Session,
  ClientHttp2Stream,
  IncomingHttpHeaders,
  OutgoingHttpHeaders,
} from 'node:http2';
import * as net from 'node:net';
import * as tls from 'node:tls';
import {
  aFunction,
  anObject,
  check,
  checkGrpcOptions,
  grpcComplaint,
  type RulesFor,
  rule,
} from '../../checks.js';
import { GrpcFdError } from '../../errors.js';
import { resolveLimits } from '../../inbox/limits.js';
import { connectUnix, supported } from '../../native/binding.js';
import { withoutDescriptors } from '../../native/without-addon.js';
import { addressBytes } from '../../socket/address.js';
import { nextTick, setImmediate } from '../../timers.js';
import { Connection } from '../connection.js';
import { FDS_METADATA_KEY, formatFdsMetadata } from '../fds-metadata.js';
import { type ValueAtStreamStart, valueAtStreamStart } from '../internals/call-metadata.js';
import { leaveConnection, sessionOf } from '../internals/http2-session.js';
import { noteRequestsOf, requestingSession } from '../internals/requesting-session.js';
import { type FdConnectionOptions, HTTP2_CONNECTION_RULES } from '../options.js';
import { SharedLimits } from '../shared-limits.js';
import { Attempt } from './attempt.js';
import { FdCallCredentials } from './call-credentials.js';
import { CallLoad } from './client-call.js';

/** Options of {@link http2Client}. */
export interface FdHttp2ClientOptions
  extends Omit<FdConnectionOptions, 'authorize' | 'authorizeTimeoutMs' | 'account'> {
  /** Options of `tls.connect()`, for a server that speaks TLS. Default: plaintext. */
  readonly tls?: tls.ConnectionOptions | undefined;
}

/** What a client of node:http2 needs, to carry descriptors in gRPC calls. Made by {@link http2Client}. */
export interface FdHttp2Client {
  /**
   * Connects, for the option `createConnection` of `http2.connect()`. The socket belongs to the HTTP/2 session. If the connect fails, the
   * socket emits the error.
   */
  readonly createConnection: () => net.Socket;
  /**
   * Makes one call with descriptors. `start` calls `request()` of a session that {@link createConnection} has connected, with `headers` among
   * its headers, and gives the stream. The descriptors go over the connection of that session.
   *
   * @param fds credentials of the call, which stay the caller's
   * @param start called once, at once
   * @throws GrpcFdError `ERR_GRPCFD_TOO_MANY_DESCRIPTORS`, `ERR_GRPCFD_INVALID_ARGUMENT`; `ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT` for a session that
   * has another connection, before anything is sent; what `start` throws. The promise rejects with them.
   */
  call(
    fds: FdCallCredentials,
    start: (headers: OutgoingHttpHeaders) => ClientHttp2Stream | Promise<ClientHttp2Stream>,
  ): Promise<ClientHttp2Stream>;
}

/**
 * Makes connections of node:http2 to a unix socket carry descriptors, for gRPC without grpc-js: that of Connect, for example. A descriptor
 * that is attached to `fds` leaves with the HEADERS of its call. It does not wait in turn where the server allows no further stream.
 *
 * @param address `unix:path`, `unix:///path` or `unix-abstract:name`
 * @param options of the connections. Default: none
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`
 */
export function http2Client(address: string, options: FdHttp2ClientOptions = {}): FdHttp2Client {
  return new Http2Client(address, options);
}

const aUnixAddress = rule(
  'an address unix:path, unix:///path or unix-abstract:name',
  (value) => typeof value === 'string',
  (value) => pathOf(String(value)) !== undefined,
);

function pathOf(address: string): string | undefined {
  const [, scheme, name] = /^(unix|unix-abstract):(.+)$/s.exec(address) ?? [];
  if (name === undefined) return undefined;
  return scheme === 'unix' ? name.replace(/^\/\/(?=\/)/, '') : `\0${name}`;
}

const fdCallCredentials = rule(
  'what grpcfd.callCredentials() gives',
  (value) => value instanceof FdCallCredentials,
);

const RULES: RulesFor<FdHttp2ClientOptions> = { ...HTTP2_CONNECTION_RULES, tls: anObject };

/** What createConnection() has made. */
interface End {
  readonly socket: net.Socket;
  /** Undefined where the socket carries no descriptors. */
  readonly connection: Connection | undefined;
}

class Http2Client implements FdHttp2Client {
  readonly #path: string;
  readonly #options: FdConnectionOptions;
  readonly #tls: tls.ConnectionOptions | undefined;
  readonly #limits: SharedLimits;
  readonly #maxFdsPerCall: number;
  readonly #ends = new WeakMap<ClientHttp2Session, End>();
  /** Whose session may not be there yet. */
  #latest: End | undefined;

  constructor(address: string, given: FdHttp2ClientOptions) {
    check(grpcComplaint, 'address', address, aUnixAddress);
    checkGrpcOptions(given, RULES);
    const { tls: tlsOptions, ...options } = given;
    this.#path = pathOf(address) ?? '';
    this.#options = options;
    this.#tls = tlsOptions;
    this.#limits = new SharedLimits(options);
    this.#maxFdsPerCall = resolveLimits(options).maxFdsPerCall;
  }

  readonly createConnection = (): net.Socket => {
    const end = this.#open();
    this.#latest = end;
    // http2.connect() makes the session as soon as this returns.
    nextTick(() => this.#note(end));
    return end.socket;
  };

  #open(): End {
    if (!supported) return this.#connectWithoutDescriptors();
    let fd: number;
    try {
      fd = connectUnix(addressBytes(this.#path));
    } catch {
      // That of Node.js fails in the same way, as an HTTP/2 session expects it: by an event of a socket that has a handle.
      return this.#connectWithoutDescriptors();
    }
    return this.#connect(fd);
  }

  #connect(fd: number): End {
    const connection = new Connection(fd, 'client', this.#options, { dialled: true, limits: this.#limits });
    const socket = this.#tls === undefined ? connection.socket : this.#secure(connection, this.#tls);
    if (this.#tls === undefined) connection.handshakeEnded(socket);
    connection.onDescriptorsLost = () => setImmediate(leaveConnection, socket);
    connection.findSession = () => sessionOf(socket);
    return { socket, connection };
  }

  #connectWithoutDescriptors(): End {
    const socket =
      this.#tls === undefined
        ? net.connect(this.#path)
        : tls.connect({ ALPNProtocols: ['h2'], ...this.#tls, path: this.#path });
    return { socket, connection: undefined };
  }

  /** Lets a later call know the session of `end`. */
  #note(end: End): void {
    if (end === this.#latest) this.#latest = undefined;
    const session = sessionOf(end.socket) as ClientHttp2Session | undefined;
    if (session === undefined || this.#ends.has(session)) return;
    this.#ends.set(session, end);
    noteRequestsOf(session);
  }

  /**
   * The connection of the session whose request() runs, or undefined if it carries no descriptors.
   *
   * @throws GrpcFdError `ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT`
   */
  #connectionOfRequest(): Connection | undefined {
    const session = requestingSession();
    // A session of this very turn is not known yet.
    const end = session === undefined ? this.#latest : this.#ends.get(session);
    if (end === undefined) throw otherSession();
    return end.connection;
  }

  #secure(connection: Connection, options: tls.ConnectionOptions): tls.TLSSocket {
    const socket = tls.connect({ ALPNProtocols: ['h2'], ...options, socket: connection.socket });
    socket.once('secureConnect', () => connection.handshakeEnded(socket));
    socket.once('error', () => connection.socket.destroy());
    return socket;
  }

  async call(
    fds: FdCallCredentials,
    start: (headers: OutgoingHttpHeaders) => ClientHttp2Stream | Promise<ClientHttp2Stream>,
  ): Promise<ClientHttp2Stream> {
    check(grpcComplaint, 'fds', fds, fdCallCredentials);
    check(grpcComplaint, 'start', start, aFunction);
    if (this.#latest !== undefined) this.#note(this.#latest);
    const load = new CallLoad();
    const call = fds.newCall(load);
    call.started();
    try {
      const refusal = load.refusalWith(this.#maxFdsPerCall);
      if (refusal !== undefined) {
        call.refuse(() => refusal);
        throw refusal;
      }
      const value: ValueAtStreamStart = valueAtStreamStart(() => {
        const connection = this.#connectionOfRequest();
        if (connection === undefined) {
          call.unsupported(supported ? notConnected() : withoutDescriptors());
          return '';
        }
        return formatFdsMetadata(connection.id, call.bind(new Attempt(connection, value)));
      });
      // As grpc-js gives it to session.request(): see call-metadata.ts.
      const stream = await start({ [FDS_METADATA_KEY]: [value] as unknown[] as string[] });
      stream.prependOnceListener('response', (headers) => call.committed(take(headers)));
      let hasEnded = false;
      const end = (trailers?: IncomingHttpHeaders) => {
        const answer = trailers && take(trailers);
        if (answer !== undefined) call.told(answer);
        if (!hasEnded) call.ended();
        hasEnded = true;
      };
      // The reply is there with the trailers, and the stream closes later.
      stream.prependOnceListener('trailers', end);
      if (stream.closed) end();
      else stream.once('close', () => end());
      return stream;
    } catch (error) {
      call.ended();
      throw error;
    }
  }
}

function take(headers: IncomingHttpHeaders): string | undefined {
  const answer = headers[FDS_METADATA_KEY];
  delete headers[FDS_METADATA_KEY];
  return answer === undefined ? undefined : String(answer);
}

function otherSession(): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT',
    'the HTTP/2 session has no connection of this client: give createConnection of this client to http2.connect()',
  );
}

function notConnected(): GrpcFdError {
  return new GrpcFdError('ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT', 'the HTTP/2 session could not be connected');
}
