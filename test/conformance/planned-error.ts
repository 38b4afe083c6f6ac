/** Errors that a script has user code throw, in callbacks of grpc-js. An uncaughtException handler survives them. */
import type { Run } from './run.js';

export class PlannedError extends Error {
  readonly run: Run;
  readonly subject: string;

  /** @param subject whose callback throws */
  constructor(run: Run, subject: string) {
    super('planned');
    this.run = run;
    this.subject = subject;
  }
}

/** Goes on after every uncaught error, as a user's process may, and records it. */
export function surviveUncaughtErrors(currentRun: () => Run | undefined): void {
  process.on('uncaughtException', (error) => {
    if (error instanceof PlannedError) error.run.log(error.subject, 'thrown');
    else currentRun()?.log('uncaught errors', String(error));
  });
}
