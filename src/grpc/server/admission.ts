import { causeText } from '../../error-text.js';
import { GrpcFdError } from '../../errors.js';
import { native } from '../../native/binding.js';
import type { PeerCredentials } from '../../native/peer-types.js';
import { peerOf } from '../../socket/peer.js';
import { tableSize } from '../../socket/table-size.js';
import {
  AUTHORIZE_TIMEOUT_MS,
  type Authorization,
  authorize,
  refused,
  shutDown,
  type Undecided,
} from '../authorization.js';
import type { ConnectionOrigin } from '../connection.js';
import type { FdServerOptions } from '../options.js';
import { givenPeer, type Peer, SocketPeer } from '../peer.js';
import { Refusal } from '../refusal.js';
import { type Account, SharedLimits } from '../shared-limits.js';
import { totals } from '../totals.js';

/**
 * Connections that may wait for `authorize()`. Each costs a descriptor, and this is a quarter of the usual table of 1024. Those of one
 * account never take the places of another one.
 */
export const MAX_UNDECIDED = 256;

/** A connection has four descriptors. So all connections have three eighths of the table, and as much is for what they hold. */
const SHARE_OF_TABLE = 3 / 32;

/** Of a small table, too. */
const FEWEST_CONNECTIONS = 16;

/** Who wants to be admitted. One of the two functions is called once. Neither may throw. */
export interface Candidate {
  /** The server that ends it when it stops listening. */
  readonly server: object;
  /** What `serveConnection()` was given. */
  readonly given: PeerCredentials | undefined;
  /** Of the socket of Node. */
  readonly allowHalfOpen: boolean | undefined;
  /** Takes `fd` over. */
  open(fd: number, origin: ConnectionOrigin): void;
  /** The connection is closed. */
  refused(refusal: Refusal): void;
}

interface Waiting {
  readonly server: object;
  readonly account: Account | undefined;
  undecided: Undecided | undefined;
}

/** Decides which connections a server makes: all those of one `serverCredentials()`. */
export class Admission extends SharedLimits {
  readonly #authorization: Authorization | undefined;
  readonly #maxConnections: number | undefined;
  readonly #maxPerAccount: number | undefined;
  readonly #waiting = new Set<Waiting>();
  /** Servers that have stopped listening. */
  readonly #stopped = new WeakSet<object>();

  constructor(options: FdServerOptions) {
    super(options);
    const { authorize, authorizeTimeoutMs = AUTHORIZE_TIMEOUT_MS } = options;
    this.#authorization = authorize && { authorize, timeoutMs: authorizeTimeoutMs };
    this.#maxConnections = options.maxConnections;
    this.#maxPerAccount = options.maxConnectionsPerAccount;
  }

  get authorizes(): boolean {
    return this.#authorization !== undefined;
  }

  /** Takes `fd` over. */
  admit(fd: number, candidate: Candidate): void {
    let socketPeer: SocketPeer | undefined;
    try {
      // Nobody asks for the peer of a connection here that has no account and no authorize().
      const isAsked = this.hasAccounts || this.authorizes;
      if (isAsked && candidate.given === undefined) {
        const credentials = peerOf(fd);
        socketPeer = credentials && new SocketPeer(fd, credentials);
      }
      const peer = candidate.given === undefined ? socketPeer?.peer : givenPeer(candidate.given);
      const account = this.accountOf(peer);
      if (this.#authorization === undefined) this.#open(fd, candidate, socketPeer, account);
      else this.#authorize(fd, candidate, peer, socketPeer, account, this.#authorization);
    } catch (error) {
      native.close(fd);
      socketPeer?.forget();
      const refusal =
        error instanceof Refusal ? error : new Refusal('authorize', causeText(error), { cause: error });
      this.#refuse(candidate, socketPeer?.peer, refusal);
    }
  }

  /** `server` listens. It may have stopped before. */
  started(server: object): void {
    this.#stopped.delete(server);
  }

  /** `server` stops listening. Its connections that wait are closed, and it gets no more. */
  stopped(server: object): void {
    this.#stopped.add(server);
    for (const waiting of [...this.#waiting]) {
      if (waiting.server === server) waiting.undecided?.refuse(shutDown('the server'));
    }
  }

  /** Why `server` gets no connection. A function of the user may have stopped it while it was asked about one. */
  refusalOf(server: object): Refusal | undefined {
    return this.#stopped.has(server) ? shutDown('the server') : undefined;
  }

  #authorize(
    fd: number,
    candidate: Candidate,
    peer: Peer | undefined,
    socketPeer: SocketPeer | undefined,
    account: Account | undefined,
    authorization: Authorization,
  ): void {
    const waiting: Waiting = { server: candidate.server, account, undecided: undefined };
    let decided = false;
    const undecided = authorize(fd, peer, authorization, (outcome) => {
      decided = true;
      if (this.#waiting.delete(waiting)) totals.undecidedConnections--;
      if (typeof outcome === 'number') {
        // The account may have had its last connection closed meanwhile.
        this.#openOrRefuse(outcome, candidate, socketPeer, account && this.current(account));
        return;
      }
      socketPeer?.forget();
      this.#refuse(candidate, peer, outcome);
    });
    if (undecided === undefined || decided) return;
    const stopped = this.refusalOf(candidate.server);
    if (stopped !== undefined) {
      undecided.refuse(stopped);
      return;
    }
    waiting.undecided = undecided;
    this.#waiting.add(waiting);
    totals.undecidedConnections++;
    if (this.#waiting.size > MAX_UNDECIDED) this.#endOne(waiting);
  }

  /** The newest of the account that has the most of them; of several such accounts, that of the newcomer. */
  #endOne(newcomer: Waiting): void {
    const counts = new Map<unknown, number>();
    const keyOf = (waiting: Waiting): unknown => waiting.account?.key ?? waiting;
    for (const waiting of this.#waiting) counts.set(keyOf(waiting), (counts.get(keyOf(waiting)) ?? 0) + 1);
    let most = keyOf(newcomer);
    for (const [key, count] of counts) if (count > (counts.get(most) ?? 0)) most = key;
    const victim = [...this.#waiting].reverse().find((waiting) => keyOf(waiting) === most);
    victim?.undecided?.refuse(
      new Refusal('undecided', `more than ${MAX_UNDECIDED} connections wait for the answer of authorize()`),
    );
  }

  #openOrRefuse(
    fd: number,
    candidate: Candidate,
    socketPeer: SocketPeer | undefined,
    account: Account | undefined,
  ): void {
    try {
      this.#open(fd, candidate, socketPeer, account);
    } catch (refusal) {
      native.close(fd);
      socketPeer?.forget();
      this.#refuse(candidate, socketPeer?.peer, refusal as Refusal);
    }
  }

  /** @throws Refusal. `fd` is open then. */
  #open(
    fd: number,
    candidate: Candidate,
    socketPeer: SocketPeer | undefined,
    account: Account | undefined,
  ): void {
    const stopped = this.refusalOf(candidate.server);
    if (stopped !== undefined) throw stopped;
    this.#makeRoom(account);
    const { given: peer, allowHalfOpen } = candidate;
    candidate.open(fd, { peer, allowHalfOpen, socketPeer, account, limits: this });
  }

  /** @throws Refusal */
  #makeRoom(account: Account | undefined): void {
    // The table is looked at when it matters.
    if (
      this.#maxConnections === undefined &&
      this.#maxPerAccount === undefined &&
      this.open < FEWEST_CONNECTIONS / 2
    )
      return;
    const { maxConnections } = this;
    const own = account?.connections.size ?? 0;
    if (account !== undefined && own >= this.maxConnectionsPerAccount) {
      throw new Refusal(
        'maxConnectionsPerAccount',
        `the account of the peer has ${own} connections, as many as maxConnectionsPerAccount allows`,
      );
    }
    if (this.open < maxConnections) return;
    const largest = this.#largest();
    if (account === undefined || largest === undefined || largest.connections.size <= own + 1) {
      throw new Refusal(
        'maxConnections',
        `${this.open} connections are open, as many as maxConnections allows`,
      );
    }
    totals.evictedConnections++;
    [...largest.connections].at(-1)?.close(evicted());
  }

  get maxConnections(): number {
    return this.#maxConnections ?? Math.max(FEWEST_CONNECTIONS, Math.floor(tableSize() * SHARE_OF_TABLE));
  }

  get maxConnectionsPerAccount(): number {
    return this.#maxPerAccount ?? Math.ceil(this.maxConnections / 2);
  }

  #largest(): Account | undefined {
    let largest: Account | undefined;
    for (const account of this.accounts) {
      if (account.connections.size > (largest?.connections.size ?? 0)) largest = account;
    }
    return largest;
  }

  #refuse(candidate: Candidate, peer: Peer | undefined, refusal: Refusal): void {
    refused('server', peer, refusal);
    candidate.refused(refusal);
  }
}

function evicted(): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_TOO_MANY_CONNECTIONS',
    'another account needed a connection, all maxConnections were taken, and the account of this one had the most',
  );
}
