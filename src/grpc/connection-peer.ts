import { native } from '../native/binding.js';
import type { PeerCredentials } from '../native/peer-types.js';
import { peerOf } from '../socket/peer.js';
import { givenPeer, type Peer, SocketPeer } from './peer.js';

/** Where a connection comes from, as far as its peer is concerned. */
export interface PeerOrigin {
  /** Whether this process has connected the socket to an address. Default false: somebody has accepted it or handed it over. */
  readonly dialled?: boolean | undefined;
  /** What is said of the process at the other end. Default: what the kernel says. */
  readonly peer?: PeerCredentials | undefined;
  /** What the kernel says, if it has been asked before. */
  readonly socketPeer?: SocketPeer | undefined;
}

/** The process at the other end of one connection. */
export class ConnectionPeer {
  /** The number of the socket while the connection is open. */
  readonly #fd: number;
  readonly #credentials: PeerCredentials | undefined;
  readonly #given: Peer | undefined;
  #socketPeer: SocketPeer | undefined;

  /** Borrows `fd`, and closes it if it throws. */
  constructor(fd: number, { dialled = false, peer, socketPeer }: PeerOrigin) {
    this.#fd = fd;
    this.#given = peer && givenPeer(peer);
    this.#socketPeer = socketPeer;
    this.#credentials = peer ?? socketPeer?.peer ?? peerOrClose(fd, dialled);
  }

  /** For `getPeer()` in handlers. gRPC in C++ also calls a peer of which nothing is known `unix:`. */
  get name(): string {
    if (this.#credentials === undefined) return 'unix:';
    const { pid, uid, gid } = this.#credentials;
    return `unix:pid=${pid},uid=${uid},gid=${gid}`;
  }

  /**
   * The kernel is asked for more than its id, user and group when somebody wants to know. When the connection has closed, nobody tells more.
   *
   * @param isOpen whether the connection is
   */
  describe(isOpen: boolean): Peer | undefined {
    if (this.#given !== undefined || this.#credentials === undefined) return this.#given;
    if (this.#socketPeer === undefined) {
      if (!isOpen) return givenPeer(this.#credentials);
      this.#socketPeer = new SocketPeer(this.#fd, this.#credentials);
    }
    return this.#socketPeer.peer;
  }

  /** The socket is going to be closed: its number can be that of another one, and of another process then. */
  forget(): void {
    this.#socketPeer?.forget();
  }
}

function peerOrClose(fd: number, dialled: boolean): PeerCredentials | undefined {
  try {
    return peerOf(fd, dialled);
  } catch (error) {
    native.close(fd);
    throw error;
  }
}
