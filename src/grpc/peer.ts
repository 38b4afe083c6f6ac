import { ReceivedFile } from '../descriptor/received-file.js';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';
import type { PeerCredentials } from '../native/peer-types.js';

/** The process at the other end of a connection. It is a plain object: {@link pidfd} does not show when it is printed or compared. */
export interface Peer extends PeerCredentials {
  /**
   * A pidfd of the process, which still means this process when its id belongs to another one (SO_PEERPIDFD). The caller owns the file, and
   * closes it. Undefined before Linux 6.5, when the process is gone, for a peer that `serveConnection()` was given, and once the connection
   * has closed.
   *
   * @throws GrpcFdError `ERR_GRPCFD_RECEIVE_FAILED` when the descriptor table is full
   */
  pidfd(): ReceivedFile | undefined;
}

/** Tells who is at the other end of a socket, for as long as that is open. */
export class SocketPeer {
  readonly peer: Peer;
  #fd: number | undefined;

  /** `fd` is only borrowed. `credentials` are those that the kernel tells of it. */
  constructor(fd: number, { pid, uid, gid }: PeerCredentials) {
    this.#fd = fd;
    const groups = native.peerGroups(fd);
    const label = native.peerLabel(fd);
    this.peer = withPidfd(
      { pid, uid, gid, ...(groups && { groups }), ...(label !== undefined && { label }) },
      () => this.#pidfd(),
    );
  }

  /** The socket is about to close. */
  forget(): void {
    this.#fd = undefined;
  }

  #pidfd(): ReceivedFile | undefined {
    if (this.#fd === undefined) return undefined;
    let pidfd: number | undefined;
    try {
      pidfd = native.peerPidFd(this.#fd);
    } catch (cause) {
      const text = `the pidfd of a peer cannot be had: ${(cause as Error).message}`;
      throw new GrpcFdError('ERR_GRPCFD_RECEIVE_FAILED', text, { cause });
    }
    return pidfd === undefined ? undefined : new ReceivedFile(pidfd);
  }
}

/** A peer that the user has told. The kernel can tell nothing more of it. */
export function givenPeer({ pid, uid, gid, groups, label }: PeerCredentials): Peer {
  const known = {
    pid,
    uid,
    gid,
    ...(groups && { groups: [...groups] }),
    ...(label !== undefined && { label }),
  };
  return withPidfd(known, () => undefined);
}

function withPidfd(known: PeerCredentials, pidfd: Peer['pidfd']): Peer {
  return Object.freeze(Object.defineProperty(known, 'pidfd', { value: pidfd })) as Peer;
}
