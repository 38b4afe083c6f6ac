import type { ClientHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { GrpcFdError } from '../../errors.js';
import { resolveLimits } from '../../inbox/limits.js';
import { native, supported } from '../../native/binding.js';
import { peerOf } from '../../socket/peer.js';
import { setImmediate } from '../../timers.js';
import { AUTHORIZE_TIMEOUT_MS, authorize, refused, shutDown, type Undecided } from '../authorization.js';
import { Connection, type ConnectionOrigin } from '../connection.js';
import { connectionClosed } from '../connection-failures.js';
import { log } from '../diagnostics.js';
import { isEmptyCallCredentials } from '../internals/call-metadata.js';
import { isUnixSocket, takeConnection } from '../internals/connected-socket.js';
import { leaveConnection, sessionOf } from '../internals/http2-session.js';
import { claimTarget } from '../internals/own-handle.js';
import { registerSchemes } from '../internals/schemes.js';
import { explainToOtherCopies } from '../internals/two-copies.js';
import { checkArguments, type FdChannelOptions, sameOptions } from '../options.js';
import { SocketPeer } from '../peer.js';
import { Refusal } from '../refusal.js';
import { type Account, SharedLimits } from '../shared-limits.js';
import {
  attentiveCredentials,
  type ConnectionSource,
  callCredentialsOfSubchannel,
} from './attempt-binding.js';
import { fdCredentialsIn } from './call-credentials.js';
import { type ConnectionOpener, openerFor, refusalOf } from './connection-opener.js';
import { StreamQueue } from './stream-queue.js';

type CreateConnectorParameters = Parameters<grpc.ChannelCredentials['_createSecureConnector']>;
type SecureConnector = ReturnType<grpc.ChannelCredentials['_createSecureConnector']>;
type SecureConnectResult = Awaited<ReturnType<SecureConnector['connect']>>;

/**
 * Makes channel credentials whose connections to `unix:`, `unix-abstract:` and `fd:` targets carry descriptors. Connections to other targets
 * are those of `inner`, without descriptors. The target `fd:N` is the connected unix stream socket that this process inherited as N. It is
 * adopted once in the process, belongs to the channel from then on, and is kept while the channel is idle. The target `fd:connect` has its
 * connections from the option `connect`. Call credentials, such as a token, can be composed with the result even where `inner` is
 * insecure, because a unix socket does not leave the machine. Such a channel does not connect to other targets.
 *
 * @param inner credentials that secure the connections: `grpc.credentials.createSsl(…)` for TLS and mutual TLS. Default: insecure
 * @param options of the connections. Default: none
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`, `ERR_GRPCFD_TWO_COPIES`
 */
export function channelCredentials(
  inner: grpc.ChannelCredentials = grpc.credentials.createInsecure(),
  options: FdChannelOptions = {},
): grpc.ChannelCredentials {
  checkArguments('channel', inner, options);
  registerSchemes();
  return new FdChannelCredentials(inner, { ...options }, grpc.credentials.createEmpty());
}

class FdChannelCredentials extends grpc.ChannelCredentials {
  readonly #inner: grpc.ChannelCredentials;
  readonly #options: FdChannelOptions;
  readonly #callCredentials: grpc.CallCredentials;
  readonly #limits: SharedLimits;

  constructor(
    inner: grpc.ChannelCredentials,
    options: FdChannelOptions,
    callCredentials: grpc.CallCredentials,
    limits = new SharedLimits(options),
  ) {
    super();
    this.#inner = inner;
    this.#options = options;
    this.#callCredentials = callCredentials;
    this.#limits = limits;
  }

  override compose(callCredentials: grpc.CallCredentials): grpc.ChannelCredentials {
    if (fdCredentialsIn(callCredentials).length > 0) throw ofAChannel();
    return new FdChannelCredentials(
      this.#inner,
      this.#options,
      this.#callCredentials.compose(callCredentials),
      this.#limits,
    );
  }

  override _isSecure(): boolean {
    return this.#inner._isSecure();
  }

  override _equals(other: grpc.ChannelCredentials): boolean {
    return (
      other instanceof FdChannelCredentials &&
      this.#inner._equals(other.#inner) &&
      this.#callCredentials._equals(other.#callCredentials) &&
      sameOptions(this.#options, other.#options)
    );
  }

  override _createSecureConnector(
    ...[target, options, callCredentials]: CreateConnectorParameters
  ): SecureConnector {
    const combined = this.#callCredentials.compose(callCredentials ?? grpc.credentials.createEmpty());
    const inner = this.#inner._createSecureConnector(target, options, combined);
    claimTarget(target);
    const { connect } = this.#options;
    const opener = openerFor(target, connect);
    const refusal = refusalOf(target, options, connect);
    return new FdConnector(inner, this.#inner._isSecure(), this.#options, this.#limits, opener, refusal);
  }
}

explainToOtherCopies(FdChannelCredentials.prototype);

/** Makes the connections of one subchannel, one at a time. */
class FdConnector implements SecureConnector, ConnectionSource {
  readonly maxFdsPerCall: number;
  readonly #inner: SecureConnector;
  readonly #secure: boolean;
  readonly #options: FdChannelOptions;
  readonly #limits: SharedLimits;
  #undecided: Undecided | undefined;
  readonly #opener: ConnectionOpener | undefined;
  readonly #refusal: Error | undefined;
  readonly #innerCallCredentials: grpc.CallCredentials;
  #callCredentials: grpc.CallCredentials;
  readonly #attentive: grpc.CallCredentials;
  #connection: Connection | undefined;
  #queue: StreamQueue | undefined;
  #destroyed = false;

  constructor(
    inner: SecureConnector,
    secure: boolean,
    options: FdChannelOptions,
    limits: SharedLimits,
    opener: ConnectionOpener | undefined,
    refusal: Error | undefined,
  ) {
    this.#inner = inner;
    this.#secure = secure;
    this.#options = options;
    this.#limits = limits;
    this.maxFdsPerCall = resolveLimits(options).maxFdsPerCall;
    this.#opener = opener;
    this.#refusal = refusal;
    this.#innerCallCredentials = inner.getCallCredentials();
    this.#callCredentials = callCredentialsOfSubchannel(this, this.#innerCallCredentials);
    this.#attentive = attentiveCredentials(this, this.#innerCallCredentials);
  }

  get connection(): Connection | undefined {
    return this.#connection?.isOpen ? this.#connection : undefined;
  }

  get queue(): StreamQueue | undefined {
    const session = this.#queue === undefined ? this.connection?.findSession?.() : undefined;
    if (session !== undefined) this.#queue = new StreamQueue(session as ClientHttp2Session);
    return this.connection === undefined ? undefined : this.#queue;
  }

  async connect(socket: Socket): Promise<SecureConnectResult> {
    if (this.#opener === undefined && !(supported && isUnixSocket(socket)))
      return this.#connectWithoutDescriptors(socket);
    if (fdCredentialsIn(this.#innerCallCredentials).length > 0) throw ofAChannel();
    const fd = this.#opener === undefined ? takeConnection(socket) : await this.#open(this.#opener, socket);
    const dialled = this.#opener === undefined;
    const { account, authorize } = this.#options;
    const origin: ConnectionOrigin =
      account === undefined && authorize === undefined
        ? { dialled, limits: this.#limits }
        : await this.#admit(fd, dialled);
    const connection = new Connection(fd, 'client', this.#options, origin);
    if (!connection.isOpen) throw connectionClosed(connection.closedBy);
    try {
      const result = await this.#inner.connect(connection.socket);
      connection.handshakeEnded(result.socket);
      if (connection.descriptorsLost !== undefined) throw connection.descriptorsLost;
      // A TLS error can follow the handshake: in TLS 1.3, a server that demands a certificate sends it then. Node leaves the socket
      // open, and grpc-js forgets it.
      result.socket.once('error', () => connection.socket.destroy());
      // Sequence numbers are of no use any more. The channel learns it in a later turn, because grpc-js must not run inside a read.
      connection.onDescriptorsLost = () => setImmediate(leaveConnection, result.socket);
      connection.findSession = () => sessionOf(result.socket);
      this.#connection = connection;
      this.#queue = undefined;
      return result;
    } catch (error) {
      connection.socket.destroy();
      throw connection.closedBy === undefined ? error : connectionClosed(connection.closedBy);
    }
  }

  /** Asks the user who the server is. `fd` is open afterwards, unless this throws. */
  async #admit(fd: number, dialled: boolean): Promise<ConnectionOrigin> {
    const { authorize: ask, authorizeTimeoutMs: timeoutMs = AUTHORIZE_TIMEOUT_MS } = this.#options;
    const { socketPeer, account } = this.#identify(fd, dialled);
    if (ask !== undefined) {
      const outcome = await new Promise<number | Refusal>((resolve) => {
        this.#undecided = authorize(fd, socketPeer?.peer, { authorize: ask, timeoutMs }, (decided) => {
          if (decided instanceof Refusal) socketPeer?.forget();
          resolve(decided);
        });
        // The user may have closed the channel in its authorize().
        if (this.#destroyed) this.#undecided?.refuse(shutDown('the channel'));
      });
      this.#undecided = undefined;
      if (outcome instanceof Refusal) {
        refused('client', socketPeer?.peer, outcome);
        throw outcome.error;
      }
    }
    if (this.#destroyed) {
      const refusal = shutDown('the channel');
      native.close(fd);
      socketPeer?.forget();
      refused('client', socketPeer?.peer, refusal);
      throw refusal.error;
    }
    return { dialled, socketPeer, account, limits: this.#limits };
  }

  #identify(
    fd: number,
    dialled: boolean,
  ): { socketPeer: SocketPeer | undefined; account: Account | undefined } {
    let socketPeer: SocketPeer | undefined;
    try {
      const credentials = peerOf(fd, dialled);
      socketPeer = credentials && new SocketPeer(fd, credentials);
      return { socketPeer, account: this.#limits.accountOf(socketPeer?.peer) };
    } catch (error) {
      native.close(fd);
      socketPeer?.forget();
      if (!(error instanceof Refusal)) throw error;
      refused('client', socketPeer?.peer, error);
      throw error.error;
    }
  }

  /** grpc-js calls it before it connects. */
  async waitForReady(): Promise<void> {
    if (this.#refusal !== undefined) throw this.#refusal;
    return this.#inner.waitForReady();
  }

  /** grpc-js asks for each attempt of a call. */
  getCallCredentials(): grpc.CallCredentials {
    const needsAttention = this.#queue?.isNeeded === true || this.connection?.needsAnnouncement === true;
    return needsAttention ? this.#attentive : this.#callCredentials;
  }

  destroy(): void {
    this.#destroyed = true;
    this.#undecided?.refuse(shutDown('the channel'));
    this.#inner.destroy();
  }

  /** `placeholder` is what grpc-js has connected: see `fd-target.ts`. */
  async #open(opener: ConnectionOpener, placeholder: Socket): Promise<number> {
    placeholder.destroy();
    const fd = await opener();
    if (!this.#destroyed) return fd;
    native.close(fd);
    throw new Error('the channel was closed');
  }

  async #connectWithoutDescriptors(socket: Socket): Promise<SecureConnectResult> {
    if (!this.#secure && !isUnixSocket(socket) && !isEmptyCallCredentials(this.#innerCallCredentials)) {
      throw new GrpcFdError(
        'ERR_GRPCFD_INVALID_ARGUMENT',
        'call credentials are not sent over an insecure connection to a target that is not a unix socket',
      );
    }
    if (log.enabled) {
      const why = supported ? 'is not a unix socket' : `is on ${process.platform}`;
      log('client: the connection to %s %s: its calls carry no descriptors', addressOf(socket), why);
    }
    // These are not in the map of subchannels, so a call with descriptors learns that this subchannel cannot carry them.
    this.#callCredentials = this.#innerCallCredentials;
    return this.#inner.connect(socket);
  }
}

function addressOf({ remoteAddress, remotePort }: Socket): string {
  return remoteAddress === undefined ? 'its target' : `${remoteAddress}:${remotePort}`;
}

function ofAChannel(): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_INVALID_ARGUMENT',
    'grpcfd.callCredentials() are for calls: give them to each call with its options, not to the channel',
  );
}
