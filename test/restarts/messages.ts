/** What the parent process, the releases of the server and the client say to each other. */

/** How a release serves: with `bindAsync()`, or with `listen()` and `serveConnection()`. */
export type Way = 'bind' | 'listen';

export type ReleaseOrder =
  /** Serve the path. The socket file stays at the end if the release is going to hand its socket over. */
  | { readonly kind: 'start'; readonly way: Way; readonly handsOver: boolean }
  /** Wait for the predecessor at the hand-over path, and serve the socket that it sends. */
  | { readonly kind: 'take over'; readonly way: Way; readonly handsOver: boolean }
  /** Send the listening socket to the successor, which waits for it. Stop when the successor serves. */
  | { readonly kind: 'hand over' };

export interface ReleaseReport {
  /** `answers` comes with the first call. `stopped` is the last one of a release that was not killed. */
  readonly kind: 'loaded' | 'waits' | 'serves' | 'answers' | 'stopped';
  readonly problems: readonly string[];
}

export type Figures = Record<string, number>;

export interface ClientReport {
  /** `alive` comes all the time. */
  readonly kind: 'alive' | 'finished';
  readonly figures: Figures;
  readonly problems: readonly string[];
}

export const PATHS = {
  socket: (directory: string) => `${directory}/server.sock`,
  handOver: (directory: string) => `${directory}/hand-over.sock`,
};
