import { cutPeerLine } from '../error-text.js';

/** Exit codes that are no gRPC status, as in sysexits.h. */
export const EXIT = {
  /** The command line is wrong. */
  usage: 64,
  /** A file that was to be read or sent cannot be opened. */
  noInput: 66,
  /** A package is missing. */
  unavailable: 69,
  /** What came could not be written. */
  inputOutput: 74,
} as const;

/** Ends the tool with one line on stderr. */
export class Failure extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

export function usage(message: string): Failure {
  return new Failure(message, EXIT.usage);
}

export function packageMissing(name: string): Failure {
  return new Failure(
    `the package ${name} is not installed. npx installs all that is needed so: ` +
      'npx -p grpcfd -p @grpc/grpc-js -p @grpc/proto-loader grpcfd …',
    EXIT.unavailable,
  );
}

/** The text of an error in one line, without what would move the cursor. A long text is cut first, so that its length costs nothing. */
export function oneLine(error: unknown): string {
  return cutPeerLine(error instanceof Error ? error.message : String(error));
}

/** What OpenSSL says where the other end answers in plaintext. */
const NO_TLS = /wrong version number|ssl3_get_record/i;

/** The text of a status in one line, behind what to do about it where that is known. A long text is cut at its end. */
export function explained(text: string): string {
  return oneLine(NO_TLS.test(text) ? `the server does not speak TLS: leave --tls out (${text})` : text);
}
