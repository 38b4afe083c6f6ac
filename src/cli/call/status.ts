/** gRPC statuses as ends of the tool. */
import * as grpc from '@grpc/grpc-js';
import { Failure } from '../failure.js';

/**
 * Ends the tool with a status: its number is the exit code. gRPC has the numbers 1 to 16 for what failed, and a peer can send any. What is
 * none of them is UNKNOWN, and the text says what came: an exit code of 256 would be 0.
 *
 * @param text tells what failed, with the name of the status
 */
export function statusFailure(code: number, text: (status: string) => string): Failure {
  const name = grpc.status[code];
  if (code !== grpc.status.OK && name !== undefined) return new Failure(text(name), code);
  const came = Number.isNaN(code) ? 'a status that is not a number' : `the status ${code}`;
  return new Failure(text(`UNKNOWN (${came} came, which gRPC does not define)`), grpc.status.UNKNOWN);
}
