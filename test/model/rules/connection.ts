import type { Call } from './call.js';
import type { Credentials } from './credentials.js';
import { End, type ServerName } from './end.js';
import { HOLDS } from './switches.js';

/**
 * - exact: this package at both ends, with call credentials
 * - URL client: a client without call credentials. It sends on its connection, and knows names by inode only
 * - URL server: a server that knows names by inode only, with an exact client
 */
export type Peers = 'exact' | 'URL client' | 'URL server';

export class Client {
  /** The last one, which may be closed. None before the first call. */
  connection: Connection | undefined;
  /** Calls that wait until another one ends, in this order. */
  readonly queue: Call[] = [];

  constructor(
    readonly index: number,
    readonly peers: Peers,
    readonly server: ServerName,
    /** How many attempts a call has. */
    readonly maxAttempts: number,
    /** How many calls may run. */
    readonly maxStreams: number,
  ) {}
}

export class Connection {
  readonly server: End;
  readonly atClient: End;
  open = true;
  /** The time at which what it held at the client was let go of. */
  emptiedAt: number | undefined;
  /** A response has come. */
  answered = false;
  /** Credentials that had a call here, and that are not done, with the time of that call. */
  readonly interested = new Map<Credentials, number>();

  constructor(
    readonly id: number,
    readonly client: Client,
    /** The time of its first call. */
    readonly since: number,
  ) {
    const { peers } = client;
    const ofUrlClient = HOLDS.urlClientsAreKnown ? 'closes' : 'may close';
    this.server = {
      exact: new End(client.server, 'keeps'),
      'URL client': new End(client.server, ofUrlClient),
      'URL server': new End(client.server, 'closes'),
    }[peers];
    this.atClient = {
      exact: new End('client', 'keeps'),
      'URL client': new End('client', 'closes'),
      // Until its first response has come, a server may be exact.
      'URL server': new End('client', 'may close'),
    }[peers];
  }

  /** Credentials are done here: closed, collected, or reused. */
  endInterest(credentials: Credentials, time: number): void {
    if (this.interested.delete(credentials)) this.letGo(time);
  }

  /**
   * What came and was not received is let go of when all credentials are done that had a call here when it came, or since; and where a
   * server has assigned it to its call, in headers or trailers, when those of that call are.
   */
  letGo(time: number): void {
    const others = [...this.interested.keys()];
    const nobody = HOLDS.closedCredentialsAreDone
      ? others.every(({ closed }) => closed)
      : others.length === 0;
    for (const copy of this.atClient.copies.filter(({ isHere }) => isHere)) {
      const { call } = copy;
      const told = HOLDS.repliesAreAssigned && this.client.peers === 'exact' && call?.replied === true;
      if (nobody || (told && call.credentials.every((each) => call.done.has(each)))) {
        copy.leaves('closed');
        this.emptiedAt = time;
      } else if (
        others.every(({ closed }) => closed) ||
        call?.credentials.every((each) => isDone(each, call))
      ) {
        copy.doubt();
      }
    }
  }

  /** From now on, the client knows that the server has names for inodes only. */
  learn(): void {
    if (this.answered && this.client.peers === 'URL server') this.atClient.older = 'closes';
  }

  /** Whether all others that are interested are closed, or are so since that time only. */
  isLast(credentials: Credentials, time: number): boolean {
    if (!this.open || !this.interested.has(credentials)) return false;
    return [...this.interested].every(
      ([other, since]) => other === credentials || other.closed || since === time,
    );
  }

  close(): void {
    this.open = false;
    this.server.close();
    this.atClient.close();
  }
}

/** It may be: as long as a call of closed credentials runs, the rules leave that open. */
function isDone(credentials: Credentials, call: Call): boolean {
  return credentials.closed || call.done.has(credentials);
}
