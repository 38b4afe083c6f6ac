/** What the processes of a soak say to each other. */
import type { FdStats } from 'grpcfd';

export type Counts = Record<string, number>;

/** A fault that a soak can be given, so that a test sees it found. */
export const PLANTS = ['leak', 'swap', 'hang'] as const;
export type Plant = (typeof PLANTS)[number];

/** What a process is started with, as JSON. */
export interface Task {
  /** What the descriptors and the random numbers of this process are told apart by. */
  readonly name: string;
  readonly seed: number;
  readonly security: 'plaintext' | 'TLS';
  /** For sockets and files. */
  readonly directory: string;
  /** Options of its `grpc.Server`, or of its channels. */
  readonly grpcOptions: Readonly<Record<string, string | number>>;
  /** Whether the server of the calls, or its connections, may end at any time. */
  readonly mayBreak: boolean;
  readonly plants: readonly Plant[];
  /** A call that takes so much longer than its deadline hangs. */
  readonly hangMs: number;
  /** The directories of the certificates and the programs of the Go peers, where there are any. */
  readonly certs?: string;
  readonly bin?: string;
}

export type Order =
  /** To a server: listen. */
  | { readonly kind: 'serve' }
  /** Make no more calls, and wait for those that run. */
  | { readonly kind: 'calm' }
  /** Close all, compare the descriptors with those of the start, report, and end. */
  | { readonly kind: 'finish' };

export const FAULTS = [
  'leak',
  'hang',
  'wrong file',
  'wrong bytes',
  'unexpected outcome',
  'miscount',
  'crash',
] as const;
export type Fault = (typeof FAULTS)[number];

export interface Problem {
  readonly fault: Fault;
  readonly text: string;
}

/** What one process did with descriptors, as its own code saw it, and not as the package counted it. */
export interface OwnCounts {
  /** Descriptors given to `sendFile()` or `sendFd()`. */
  given: number;
  /** Of these, those whose `sent` resolved. */
  sent: number;
  /** The others, by the reason of the rejection. */
  readonly notSent: Counts;
  /** Descriptors received whose content was the one that was promised. */
  right: number;
  /** Descriptors received with another content. */
  wrong: number;
  /** Descriptors received that could not be looked at, by the reason: their call ended meanwhile. */
  readonly unchecked: Counts;
  /** Receives that failed, by the reason. */
  readonly notReceived: Counts;
}

/** What a process and one other process exchanged, over all their connections, as `FdConnection.stats()` says. */
export interface PeerCounts {
  connections: number;
  /** Connections that ended before the order to finish. */
  endedEarly: number;
  sent: number;
  received: number;
  taken: number;
  closed: number;
}

export interface Report {
  /** `alive` comes all the time. Each order is answered. */
  readonly kind: 'alive' | 'ready' | 'serving' | 'calm' | 'finished';
  /** Calls and other events by what they came to. */
  readonly counts: Counts;
  /** Undefined where the code of the interop peers sends and receives. All its receives are by URL. */
  readonly own: OwnCounts | undefined;
  readonly stats: FdStats;
  /** Descriptors that nobody received, by the reason for which the package closed them. */
  readonly closedFor: Counts;
  /** By the other end: see `processId()`. */
  readonly peers: Readonly<Record<string, PeerCounts>>;
  readonly problems: readonly Problem[];
}
