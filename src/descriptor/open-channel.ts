import { constants } from 'node:fs';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';
import { type Description, type FileKind, WAY } from '../native/file-types.js';
import { canBeWaitedFor } from '../native/ready.js';
import { SOCKET_TYPE } from '../native/socket-types.js';
import { Channel } from './channel.js';
import type { FileAccess } from './file-kind.js';

/** The kinds that may have nothing to read for as long as somebody else likes. */
const PATIENT: ReadonlySet<FileKind> = new Set([
  'pipe',
  'socket',
  'tty',
  'eventfd',
  'timerfd',
  'signalfd',
  'inotify',
]);

/**
 * Whether there may be nothing to read for as long as somebody else likes. A character device or an unknown file may be of that kind if it
 * can be waited for in epoll, as a tun or /dev/kmsg can. Others, such as /dev/zero, are always ready.
 */
export function needsChannel(kind: FileKind, isBlockDevice: boolean, fd: number): boolean {
  if (PATIENT.has(kind)) return true;
  return (kind === 'unknown' || (kind === 'device' && !isBlockDevice)) && canBeWaitedFor(fd);
}

const BY_DATAGRAM: ReadonlySet<number> = new Set([SOCKET_TYPE.DATAGRAM, SOCKET_TYPE.RAW]);

/** What a channel is opened for. */
export interface ChannelFile {
  readonly fd: number;
  readonly url: string;
  readonly kind: FileKind;
  readonly access: FileAccess;
  readonly device: Description['device'];
}

const FLAGS: Readonly<Record<FileAccess, number>> = {
  read: constants.O_RDONLY,
  write: constants.O_WRONLY,
  readwrite: constants.O_RDWR,
  path: constants.O_RDONLY,
};

/**
 * `owner` closes the descriptor of the file, after the end of the channel.
 *
 * @param exclusive whether the open file itself may be made non-blocking, for all who have it
 * @throws GrpcFdError `ERR_GRPCFD_WOULD_BLOCK`
 */
export function openChannel(file: ChannelFile, owner: object, exclusive: boolean): Channel {
  const { fd, kind } = file;
  const openAnew = () => openForOneself(file);
  const own = { isTerminal: kind === 'tty', isDatagram: false, openAnew, owner };
  if (kind === 'socket') {
    const isDatagram = BY_DATAGRAM.has(native.describeSocket(fd).type);
    return new Channel({ ...own, fd, way: WAY.SOCKET, isOwner: false, isDatagram });
  }
  if (kind === 'tty' && !exclusive) {
    return new Channel({ ...own, fd: openAnew(), way: WAY.OWN, isOwner: true });
  }
  const way = kind === 'pipe' ? WAY.PIPE : WAY.NO_WAIT;
  const channel = new Channel({ ...own, fd, way, isOwner: false });
  if (exclusive) channel.useExclusively();
  return channel;
}

/** Opens a file anew, so that its flags are not shared. It is opened without waiting, and does not become the terminal of this process. */
function openForOneself(file: ChannelFile): number {
  const isNonBlockingEventFd =
    file.kind === 'eventfd' && (native.statusFlags(file.fd) & constants.O_NONBLOCK) !== 0;
  if (!isNonBlockingEventFd && !isSameWhenOpenedAnew(file)) throw wouldBlock(file);
  const flags = FLAGS[file.access] | constants.O_NONBLOCK | constants.O_NOCTTY;
  try {
    // Before Linux 5.8 there is no other way to wait for an eventfd.
    const fd = isNonBlockingEventFd
      ? native.duplicate(file.fd)
      : native.open(`/proc/self/fd/${file.fd}`, flags, 0);
    native.guard(fd);
    return fd;
  } catch (cause) {
    if (file.kind !== 'tty' || (cause as NodeJS.ErrnoException).code !== 'EIO') throw wouldBlock(file, cause);
  }
  // The terminal has hung up. Nothing waits for it any more.
  const fd = native.duplicate(file.fd);
  native.guard(fd);
  return fd;
}

/**
 * To open the master of a pseudoterminal makes a new terminal, and /dev/tty is another one in each session. A serial line may have to wait
 * for its last bytes to leave.
 */
function isSameWhenOpenedAnew({ kind, device: [major, minor] }: ChannelFile): boolean {
  if (kind === 'pipe') return true;
  const isSlave = major >= 136 && major <= 143;
  const isConsole = major === 4 && minor >= 1 && minor <= 63;
  return kind === 'tty' && (isSlave || isConsole);
}

function wouldBlock({ url, kind }: ChannelFile, cause?: unknown): GrpcFdError {
  const reason =
    cause instanceof Error ? `it cannot be opened anew: ${cause.message}` : 'it cannot be opened anew';
  return new GrpcFdError(
    'ERR_GRPCFD_WOULD_BLOCK',
    `${url}, of the kind ${kind}, cannot be read or written without blocking a thread, since ${reason}. If nobody else reads or writes it, ` +
      'use { exclusive: true }, which makes the open file non-blocking',
    { cause },
  );
}
