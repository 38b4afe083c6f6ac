/** What can be wrong. */
export type Wrong = 'wrong file' | 'wrong outcome' | 'leak' | 'closed too early' | 'hang';

/** The package and the model disagree. */
export class Mismatch extends Error {
  constructor(
    readonly wrong: Wrong,
    text: string,
  ) {
    super(`${wrong}: ${text}`);
  }
}
