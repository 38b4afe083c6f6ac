/** The functions of the addon that work in threads of their own. A file system that does not answer keeps such a thread, and nothing else. */
export interface ThreadFunctions {
  /**
   * `open(2)` with O_CLOEXEC, without waiting for a FIFO. With a `directory` (a descriptor, which this takes over, also when it throws) or
   * the path of one, nothing outside of it is reached; -1 and '' are for none. Calls `onOpened` with an errno, or with 0 and a guarded
   * descriptor that belongs to the callee.
   */
  openInThread(
    directory: number,
    directoryPath: string,
    path: string,
    flags: number,
    mode: number,
    onOpened: (errno: number, fd: number) => void,
  ): void;
  /**
   * The next entries of an open directory. `fd` is taken over, also when this throws. Calls `onListed` with an errno, or with 0 and, for each
   * entry, a byte with its type (DT_REG and so on), its name and a NUL. No bytes stand for the end.
   */
  listInThread(fd: number, onListed: (errno: number, entries: Buffer) => void): void;
  /**
   * Connects to the socket file that `fd` is, which is taken over, also when this throws. Calls `onConnected` with an errno, or with 0 and a
   * guarded, non-blocking unix stream socket that belongs to the callee. EAGAIN: the backlog is full.
   */
  dialInThread(fd: number, onConnected: (errno: number, socket: number) => void): void;
  /** Whether these threads keep the process alive. At first they do. */
  keepAliveForThreads(wanted: boolean): void;
}
