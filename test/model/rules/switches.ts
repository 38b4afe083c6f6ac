/** Where the rules say more than the package holds yet. Each is true when it does. */
export const HOLDS = {
  /** A server knows from its first call that a client has names for inodes only, and keeps the newest of each. */
  urlClientsAreKnown: false,
  /** A server assigns what it sends in a call to the call, so that it is closed when the credentials of that call are done. */
  repliesAreAssigned: true,
  /** Credentials that are closed while a call of theirs runs keep nothing that came before. */
  closedCredentialsAreDone: false,
  /** What is sent with credentials while calls of theirs run goes with each of these calls. */
  eachCallHasItsOwn: true,
  /** Where a server allows no further stream, calls wait in the order in which they came, and their descriptors with them. */
  callsWaitForStreams: true,
};
