/** The process at the other end of a unix socket, at the time at which the two were connected (SO_PEERCRED). */
export interface PeerCredentials {
  /** Process id. It may belong to another process by now. */
  readonly pid: number;
  /** Effective user id. */
  readonly uid: number;
  /** Effective group id. */
  readonly gid: number;
  /** Supplementary group ids (SO_PEERGROUPS), without `gid`. Left out where they are not known. */
  readonly groups?: readonly number[] | undefined;
  /** Label of the security module, such as SELinux or AppArmor (SO_PEERSEC). Left out where there is none. */
  readonly label?: string | undefined;
}

/** The functions of the addon that tell more of the process at the other end of a unix socket, and refuse descriptors from it. */
export interface PeerFunctions {
  /** The supplementary groups of the peer. Undefined where the kernel does not tell them (before Linux 4.13). `fd` is only borrowed. */
  peerGroups(fd: number): number[] | undefined;
  /** The security label of the peer (SELinux, AppArmor, Smack). Undefined where there is none. */
  peerLabel(fd: number): string | undefined;
  /** A pidfd of the peer, guarded, which belongs to the caller. Undefined before Linux 6.5, or if the process is gone. EMFILE. */
  peerPidFd(fd: number): number | undefined;
  /**
   * From now on, the kernel refuses descriptors that are sent to `fd` (EPERM at the sender), and to what is accepted from it. False where it
   * does not, such as before Linux 6.16: nothing has changed then.
   */
  refuseRights(fd: number): boolean;
}
