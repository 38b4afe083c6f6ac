import { checkOptions, nodeComplaint } from '../checks.js';
import { close, native } from '../native/binding.js';
import { FdSocket, type FdSocketOptions, STREAM_RULES } from './fd-socket.js';

/**
 * Makes two connected sockets (`socketpair(2)`). There is no address, so nobody else can connect. Both belong to the caller. To give one
 * end to a child process, {@link FdSocket.release} it, pass the number in the `stdio` of `spawn`, and close it.
 *
 * @param options of both sockets. Default: none
 * @throws EMFILE, ENFILE where there is no room for descriptors; ERR_INVALID_ARG_TYPE or ERR_OUT_OF_RANGE for wrong options
 */
export function socketPair(options: Omit<FdSocketOptions, 'fd'> = {}): [FdSocket, FdSocket] {
  checkOptions(nodeComplaint, options, STREAM_RULES);
  const [one, two] = native.socketPair();
  let first: FdSocket | undefined;
  try {
    first = new FdSocket({ ...options, fd: one });
    return [first, new FdSocket({ ...options, fd: two })];
  } catch (error) {
    if (first) first.destroy();
    else close(one);
    close(two);
    throw error;
  }
}
