import { randomBytes } from 'node:crypto';

/**
 * Unique among all connections and credentials that a peer may ever see: 72 random bits of this thread, which no two threads share by
 * chance, then a count in decimal digits. The random part always has the same length, and a letter for the sender may follow the count,
 * so no id with its letter is another id. Ids need not be secret: a name is only valid on the connection, or in the call, that it came
 * with.
 */
export function uniqueId(): string {
  lastId++;
  return `${THREAD_ID}${lastId}`;
}

const THREAD_ID = randomBytes(9).toString('base64url');
let lastId = 0;
