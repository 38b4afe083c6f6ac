// What a service manager handed over: see sd_listen_fds(3). It is here until the package does it.

const FIRST = 3;

export interface InheritedSocket {
  readonly fd: number;
  /** From `FileDescriptorName=` of the unit. */
  readonly name: string;
}

/** The sockets that are meant for this process. They are inherited by its children unless the environment is cleared, so it is. */
export function listenFds(): InheritedSocket[] {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES = '' } = process.env;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete process.env[name];
  if (Number(LISTEN_PID) !== process.pid) return [];
  const names = LISTEN_FDNAMES.split(':');
  return Array.from({ length: Number(LISTEN_FDS) }, (_, index) => ({
    fd: FIRST + index,
    name: names[index] || 'unknown',
  }));
}
