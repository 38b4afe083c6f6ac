/** The functions of the addon for eventfds. */
export interface EventFdFunctions {
  /** A counter of 0, non-blocking, close-on-exec, guarded. */
  createEventFd(): number;
  /**
   * Adds 1 to the counter of an eventfd, and never waits. Returns 0, also where the counter is full; otherwise a negative errno. EOPNOTSUPP:
   * the open file is blocking, and this kernel or its sandbox has no io_submit, so that a ring could wait.
   */
  ringEventFd(fd: number): number;
}
