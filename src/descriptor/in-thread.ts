import { native } from '../native/binding.js';

/** What a thread of its own does. */
export interface ThreadJob<Value> {
  /** The system call that an error is of. */
  readonly syscall: string;
  /** A guarded descriptor that `start` takes over, also when it throws. Undefined: none. */
  readonly fd: number | undefined;
  start(onDone: (errno: number, value: Value) => void): void;
  /** Gives back what the thread has made, since nobody waits for it any more. */
  discard(value: Value): void;
}

/** Threads at a time whose results are waited for. */
const MAX_THREADS = 16;
/** Further threads, which nobody waits for any more: a file system that does not answer keeps its threads for as long as it likes. */
const MAX_GIVEN_UP = 256;

const queue: (() => void)[] = [];
let threads = 0;
let givenUp = 0;
/** Those whose promise has not been settled. */
let wanted = 0;

/**
 * Runs a job in a thread of its own. At most 16 run at a time, the next ones wait for their turn. A thread that was given up does not count,
 * up to 256 of them. The process waits for what is wanted, and for nothing that was given up.
 *
 * @throws in the promise: the reason of the signal; the error of the failed system call
 */
export function inThread<Value>(job: ThreadJob<Value>, signal: AbortSignal | undefined): Promise<Value> {
  return new Promise((resolve, reject) => {
    wanted++;
    let isSettled = false;
    let counts = false;
    const settle = (): boolean => {
      if (isSettled) return false;
      isSettled = true;
      signal?.removeEventListener('abort', onAbort);
      wanted--;
      if (wanted === 0) native.keepAliveForThreads(false);
      return true;
    };
    const start = (): void => {
      threads++;
      counts = true;
      try {
        job.start(onDone);
      } catch (error) {
        counts = false;
        leave();
        if (settle()) reject(error);
      }
    };
    const onDone = (errno: number, value: Value): void => {
      if (counts) leave();
      else givenUp--;
      if (!settle()) job.discard(value);
      else if (errno === 0) resolve(value);
      else reject(native.systemError(errno, job.syscall));
    };
    const withdraw = (): void => {
      if (job.fd !== undefined) native.close(job.fd);
    };
    const onAbort = (): void => {
      const index = queue.indexOf(start);
      if (index >= 0) {
        queue.splice(index, 1);
        withdraw();
      } else if (counts && givenUp < MAX_GIVEN_UP) {
        counts = false;
        givenUp++;
        leave();
      }
      if (settle()) reject(signal?.reason);
    };
    if (signal?.aborted === true) {
      withdraw();
      settle();
      reject(signal.reason);
      return;
    }
    signal?.addEventListener('abort', onAbort, { once: true });
    if (threads < MAX_THREADS) start();
    else queue.push(start);
    if (wanted > 0) native.keepAliveForThreads(true);
  });
}

function leave(): void {
  threads--;
  queue.shift()?.();
}

/** For jobs that make a descriptor. */
export function discardFd(fd: number): void {
  if (fd >= 0) native.close(fd);
}
