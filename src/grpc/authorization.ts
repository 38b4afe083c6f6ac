import { causeText, quotePeerText } from '../error-text.js';
import { native, SocketHandle } from '../native/binding.js';
import { DISCONNECT, type SocketHandle as Handle } from '../native/bridge-types.js';
import { clearTimeout, setTimeout } from '../timers.js';
import { connectionRefused, log, publish } from './diagnostics.js';
import type { Peer } from './peer.js';
import { Refusal } from './refusal.js';
import { totals } from './totals.js';

/** `authorize` and `authorizeTimeoutMs` of the credentials. */
export interface Authorization {
  readonly authorize: (peer: Peer) => boolean | Promise<boolean>;
  readonly timeoutMs: number;
}

/** The time in which `authorize()` has to answer: long enough for a look-up over a network, shorter than the deadlines of most calls. */
export const AUTHORIZE_TIMEOUT_MS = 10_000;

/** Is told once: the socket, which belongs to the callee then, or why it was closed. It must not throw. */
export type Decided = (outcome: number | Refusal) => void;

/**
 * Asks whether the peer of a connected socket may connect. `fd` is taken over. Nothing is read from it meanwhile. Returns what can still be
 * ended; undefined if `decided` has been called.
 */
export function authorize(
  fd: number,
  peer: Peer | undefined,
  authorization: Authorization,
  decided: Decided,
): Undecided | undefined {
  const answer = peer === undefined ? unknownPeer() : ask(peer, authorization);
  if (answer instanceof Promise) {
    try {
      return new Undecided(fd, answer, authorization.timeoutMs, decided);
    } catch (cause) {
      // The event loop cannot watch one more socket.
      native.close(fd);
      decided(failed(cause));
      return undefined;
    }
  }
  if (answer === undefined) decided(fd);
  else {
    native.close(fd);
    decided(answer);
  }
  return undefined;
}

function unknownPeer(): Refusal {
  return new Refusal(
    'unknown peer',
    'the process at the other end is not known, so authorize() was not asked: this is an end of a socketpair, or was handed over without a ' +
      'name. serveConnection() can be given the peer',
  );
}

/** Undefined: it may. */
function ask(peer: Peer, { authorize }: Authorization): Refusal | undefined | Promise<Refusal | undefined> {
  try {
    const answer: unknown = authorize(peer);
    if (typeof (answer as PromiseLike<unknown> | undefined)?.then !== 'function') return judge(answer);
    return Promise.resolve(answer).then(judge, failed);
  } catch (cause) {
    return failed(cause);
  }
}

/** Whatever is not true refuses: a function that forgets to return must not let everybody in. */
function judge(answer: unknown): Refusal | undefined {
  if (answer === true) return undefined;
  return new Refusal('authorize', `the peer may not connect: authorize() gave ${quotePeerText(answer)}`);
}

function failed(cause: unknown): Refusal {
  const text = `the peer may not connect: authorize() failed: ${causeText(cause)}`;
  return new Refusal('authorize', text, { cause });
}

/** A connection that waits for the answer of `authorize()`. It ends with a hang-up of the peer, too. */
export class Undecided {
  readonly #handle: Handle;
  readonly #decided: Decided;
  readonly #timer: NodeJS.Timeout;
  #ended = false;

  constructor(fd: number, answer: Promise<Refusal | undefined>, timeoutMs: number, decided: Decided) {
    this.#decided = decided;
    this.#handle = new SocketHandle(fd, () => this.refuse(new Refusal('hang-up', 'the peer hung up')));
    this.#handle.watch(DISCONNECT);
    this.#timer = setTimeout(() => this.refuse(tooLate(timeoutMs)), timeoutMs);
    answer
      .then((refusal) => (refusal === undefined ? this.#admit() : this.refuse(refusal)))
      .catch((cause) => this.refuse(failed(cause)));
  }

  /** Closes the connection, unless it has been decided on. */
  refuse(refusal: Refusal): void {
    if (this.#ended) return;
    this.#end();
    this.#handle.close();
    this.#decided(refusal);
  }

  #admit(): void {
    if (this.#ended) return;
    const fd = this.#handle.release();
    this.#end();
    native.guard(fd);
    this.#decided(fd);
  }

  #end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }
}

function tooLate(timeoutMs: number): Refusal {
  return new Refusal(
    'authorizeTimeoutMs',
    `authorize() has not answered within ${timeoutMs} ms (authorizeTimeoutMs)`,
  );
}

export function shutDown(what: string): Refusal {
  return new Refusal('shutdown', `${what} was shut down before the connection was made`);
}

/** Counts a refusal, and tells of it. It is quiet: a peer could fill a log otherwise. */
export function refused(role: 'client' | 'server', peer: Peer | undefined, { reason, error }: Refusal): void {
  totals.refusedConnections++;
  if (connectionRefused.hasSubscribers) publish(connectionRefused, { role, peer, reason, error });
  if (log.enabled) log('%s: a connection of %j was refused: %s', role, peer, error.details);
}
