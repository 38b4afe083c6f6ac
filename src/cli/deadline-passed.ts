import { Failure } from './failure.js';

/** Ends the tool without waiting for who reads what was printed. */
export class DeadlinePassed extends Failure {}
