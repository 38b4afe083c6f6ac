/** The storms: what the attackers of each do, and what the server of each is told. */
import type { FdServerOptions } from 'grpcfd';
import type { User } from '../support/other-user.js';
import type { Security } from '../support/service.js';
import type { AttackName } from './attacks/index.js';
import type { Attack } from './messages.js';

/** Options of the server that JSON can say. */
export interface ServerLimits
  extends Pick<FdServerOptions, 'maxConnections' | 'maxHeldFdsTotal' | 'maxConnectionsPerAccount'> {
  /** `account: (peer) => peer.uid`. */
  readonly accountByUid?: boolean;
  readonly maxStreams?: number;
}

export interface Storm {
  readonly name: string;
  readonly attack: AttackName;
  /** Attackers at a time. */
  readonly processes: number;
  readonly security?: Security;
  readonly limits?: ServerLimits;
  /** Attackers get these at random moments, and others take their places. */
  readonly signal?: 'SIGSTOP' | 'SIGKILL';
  /** Attackers are of another user than the bystanders. */
  readonly user?: User;
  /** Connections that come in the storm may be refused: the attackers take all that there are, and no account is told. */
  readonly refusesNewcomers?: boolean;
  /** The calls that the attackers make stay open, and take up memory in grpc-js. */
  readonly callsStay?: boolean;
  /** What the last number of the attack counts. */
  readonly counts?: { readonly what: string; readonly of: keyof Attack };
}

const NOBODY: User = { uid: 65534, gid: 65534 };

export const STORMS: readonly Storm[] = [
  { name: 'descriptors, one to a message', attack: 'oneByOne', processes: 1 },
  { name: 'descriptors, 253 to a message', attack: 'fullMessages', processes: 1 },
  { name: 'connected sockets, 253 to a message', attack: 'sockets', processes: 1 },
  { name: 'descriptors that are slow to close', attack: 'slowCloses', processes: 1 },
  { name: 'calls that stay, with 64 descriptors each', attack: 'calls', processes: 1, callsStay: true },
  { name: 'receives of what never comes', attack: 'waits', processes: 1 },
  { name: 'references to what never comes', attack: 'references', processes: 1 },
  { name: 'forged metadata', attack: 'forged', processes: 1 },
  { name: 'garbage after real bytes', attack: 'garbage', processes: 1 },
  { name: 'rapid reset, a descriptor on each stream', attack: 'rapidReset', processes: 1 },
  { name: 'replies with descriptors that nobody reads', attack: 'unread', processes: 1 },
  { name: 'half-open connections', attack: 'halfOpen', processes: 1, refusesNewcomers: true },
  {
    name: 'half-open connections, an account for each uid',
    attack: 'halfOpen',
    processes: 1,
    limits: { accountByUid: true },
    user: NOBODY,
  },
  {
    name: 'TLS handshakes that never end',
    attack: 'handshakes',
    processes: 1,
    security: 'TLS',
    refusesNewcomers: true,
  },
  {
    name: 'TLS handshakes that never end, an account for each uid',
    attack: 'handshakes',
    processes: 1,
    security: 'TLS',
    limits: { accountByUid: true },
    user: NOBODY,
  },
  { name: 'SIGSTOP at random moments', attack: 'busy', processes: 3, signal: 'SIGSTOP' },
  { name: 'SIGKILL at random moments', attack: 'busy', processes: 3, signal: 'SIGKILL' },
];
