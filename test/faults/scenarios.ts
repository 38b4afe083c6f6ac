/** What a program does with this package, in small pieces. Each is run again and again, while one system call of it fails. */
import { CALLS } from './scenarios/calls.js';
import { FILES } from './scenarios/files.js';
import { SOCKETS } from './scenarios/sockets.js';

export interface Scenario {
  readonly name: string;
  /**
   * Resolves if everything was as it should be. A failure of the package is thrown as it came. Whatever shows another content than was sent
   * throws a {@link WrongResult}.
   */
  run(): Promise<void>;
}

export const SCENARIOS: readonly Scenario[] = [...CALLS, ...FILES, ...SOCKETS];

/** These use what the addon makes once in a process. */
export const FIRST_USES: readonly string[] = ['calls in plaintext', 'shared memory'];
