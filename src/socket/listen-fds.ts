import { native } from '../native/binding.js';

/** A descriptor that this process was started with. */
export interface ListenFd {
  /** Its number, from 3 on. It belongs to the caller. */
  readonly fd: number;
  /** `FileDescriptorName=` of systemd, or `FDNAME=` that a process stored it with. Without one it is `'unknown'`. */
  readonly name: string;
}

const FIRST_FD = 3;

/**
 * The descriptors that systemd, or what does as it does, has started this process with: the sockets of its `.socket` units, and what the
 * service stored with FDSTORE. They belong to the caller, who gives them to what serves them (`listen({ fd })`) or closes them. They are
 * made close-on-exec. The environment (`LISTEN_PID`, `LISTEN_FDS`, `LISTEN_FDNAMES`) is cleared in all cases, so that child processes do not
 * take it for theirs. So a second call gives none. Call it in the main thread: a worker thread has another environment.
 *
 * @returns an empty array if `LISTEN_PID` is not this process
 * @throws ERR_INVALID_STATE where `LISTEN_FDS` is not a number, or `LISTEN_FDNAMES` has names for another number of descriptors; EBADF
 * where one of them is not open
 */
export function listenFds(): ListenFd[] {
  const pid = take('LISTEN_PID');
  const fds = take('LISTEN_FDS');
  const names = take('LISTEN_FDNAMES')?.split(':');
  take('LISTEN_PIDFDID');
  if (pid !== String(process.pid) || fds === undefined) return [];
  const count = Number(fds);
  if (!/^\d+$/.test(fds) || FIRST_FD + count > 2 ** 31) throw invalid(`LISTEN_FDS=${fds} is not a number`);
  if (names !== undefined && names.length !== count) {
    throw invalid(`LISTEN_FDNAMES has ${names.length} names for ${count} descriptors`);
  }
  const found: ListenFd[] = [];
  for (let index = 0; index < count; index++) {
    native.setCloseOnExec(FIRST_FD + index);
    found.push({ fd: FIRST_FD + index, name: names?.[index] ?? 'unknown' });
  }
  return found;
}

function take(name: string): string | undefined {
  const value = process.env[name];
  delete process.env[name];
  return value;
}

function invalid(message: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_INVALID_STATE' });
}
