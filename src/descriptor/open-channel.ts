import { constants } from 'node:fs';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';
import { type Description, type FileKind, WAY } from '../native/types.js';
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

export function needsChannel(kind: FileKind): boolean {
  return PATIENT.has(kind);
}

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
  const own = { way: WAY.OWN, isTerminal: kind === 'tty', openAnew, owner };
  if (kind === 'socket') return new Channel({ ...own, fd, way: WAY.SOCKET, isOwner: false });
  if (exclusive) {
    native.setNonBlocking(fd, true);
    return new Channel({ ...own, fd, isOwner: false });
  }
  if (kind === 'tty') return new Channel({ ...own, fd: openAnew(), isOwner: true });
  return new Channel({ ...own, fd, way: WAY.NO_WAIT, isOwner: false });
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
    throw wouldBlock(file, cause);
  }
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
