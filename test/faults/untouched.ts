/** Calls of the addon that the test itself makes. They are not counted, and none of them fails. See faulty-libc.c. */
export function untouched<Result>(run: () => Result): Result {
  process.env['GRPCFD_INJECT'] = 'pause';
  try {
    return run();
  } finally {
    process.env['GRPCFD_INJECT'] = 'resume';
  }
}
