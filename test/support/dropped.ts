import * as grpc from '@grpc/grpc-js';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

/** Stock grpc-js does so, too, in about one of seven calls that go on writing. */
const mayBeInternal = major === 20 && minor < 20;

/** Whether a call has the status of one whose connection has gone while it was writing. */
export function isDropped({ code, details }: { readonly code: number; readonly details: string }): boolean {
  if (mayBeInternal && code === grpc.status.INTERNAL) return details === 'Write error: write after end';
  return code === grpc.status.UNAVAILABLE;
}
