/**
 * Tells a user who has two copies of this package in one program. Each copy works alone. But the credentials, servers and calls of one mean
 * nothing to the other, so a call that has parts of both carries no descriptors. `two-copies.ts` is about copies of grpc-js.
 */

const COPIES = Symbol.for('grpcfd.copies');

const shared: typeof globalThis & { [COPIES]?: Set<string> } = globalThis;
shared[COPIES] ??= new Set();
/** The folders of all copies that were loaded. A test runner may load one folder many times. */
const copies = shared[COPIES];
copies.add(typeof __dirname === 'string' ? __dirname : 'a bundle');

/** The end of an error's text, which is empty with one copy. The paths are for this process alone, and not for its peers. */
export function noteOnCopies(reader: 'this process' | 'peer'): string {
  if (copies.size < 2) return '';
  const where = reader === 'peer' ? '' : `, in ${[...copies].join(' and in ')}`;
  return `. This process has loaded ${copies.size} copies of grpcfd${where}: all parts of a call have to be of one copy`;
}
