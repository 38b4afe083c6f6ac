/** Compares what a receive came to with what the rules say. */
import { Mismatch } from './mismatch.js';
import { type Outcome, type Received, textOf } from './real/hands.js';
import type { PipeEnd } from './real/pipes.js';
import { describeExpected, type Expected } from './rules/expected.js';
import type { Pipe } from './rules/pipe.js';

export class Comparison {
  readonly #pipeEnd: (pipe: Pipe) => PipeEnd;
  readonly #count: (what: string) => void;

  /** @param count of what is right */
  constructor(pipeEnd: (pipe: Pipe) => PipeEnd, count: (what: string) => void) {
    this.#pipeEnd = pipeEnd;
    this.#count = count;
  }

  /** One receive, whose file has that number. */
  one(what: string, outcome: Outcome, expected: Expected, file: number): void {
    if (outcome.kind === 'waits') {
      if (!expected.mayWait) throw wrong(what, 'waits', expected);
      this.#count('receives that waited');
    } else if (outcome.kind === 'failed') {
      if (!expected.fails.includes(outcome.reason)) {
        throw wrong(what, `fails with ${outcome.reason}: ${outcome.details}`, expected);
      }
      this.#count('receives that failed, as they must');
    } else {
      this.#file(what, outcome.files, expected, file);
    }
  }

  /** `received()`: as the rules say of each, until one did not come. */
  all(what: string, outcome: Outcome, expected: readonly Expected[], first: number): void {
    const files = outcome.kind === 'waits' ? [] : outcome.files;
    const wanted = expected.filter(({ gives }) => gives.length > 0);
    wanted.forEach((each, index) => {
      this.#file(what, files, each, first + index);
    });
    if (files.length > wanted.length) {
      throw new Mismatch(
        'wrong outcome',
        `${what}, which gives ${files.length} files; expected: ${wanted.length}`,
      );
    }
    const last = expected.at(-1);
    if (last !== undefined && last.gives.length === 0) this.one(what, outcome, last, first + wanted.length);
  }

  #file(what: string, files: readonly Received[], expected: Expected, file: number): void {
    const received = files.find((each) => each.file === file);
    if (received === undefined) throw wrong(what, 'gives nothing', expected);
    const [first] = expected.gives;
    if (first === undefined)
      throw new Mismatch('wrong file', `${what}; expected: ${describeExpected(expected)}`);
    const end = this.#pipeEnd(first.sending.pipe);
    const isRight = expected.gives.some(
      ({ sending }) => end.ino === received.ino && end.marks(sending.openFile) === received.marks,
    );
    if (!isRight) {
      const { ino, marks } = received;
      throw new Mismatch(
        'wrong file',
        `${what}: inode ${ino} with flags ${marks}; expected: ${describeExpected(expected)}`,
      );
    }
    if (!end.hasRead(textOf(file))) {
      throw new Mismatch('wrong file', `${what}, and the other end of the pipe does not get what is written`);
    }
    this.#count('files received');
  }
}

function wrong(what: string, did: string, expected: Expected): Mismatch {
  return new Mismatch('wrong outcome', `${what}, which ${did}; expected: ${describeExpected(expected)}`);
}
