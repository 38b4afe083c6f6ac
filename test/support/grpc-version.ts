import { createRequire } from 'node:module';

const { version } = createRequire(import.meta.url)('@grpc/grpc-js/package.json');
const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number.parseFloat);

/** Why a test of `call.getAuthContext()` is to be skipped, or false. */
export const withoutAuthContext: string | false =
  isBefore(1, 14, 0) && `grpc-js ${version} has no getAuthContext() for handlers`;

/** Why a test of calls that are refused while they are written is to be skipped, or false. */
export const withoutRefusals: string | false =
  isBefore(1, 14, 1) && `stock grpc-js ${version} loses the window of its connection with each such call`;

function isBefore(...wanted: [number, number, number]): boolean {
  const index = wanted.findIndex((part, place) => part !== [major, minor, patch][place]);
  return index >= 0 && ([major, minor, patch][index] ?? 0) < (wanted[index] ?? 0);
}
