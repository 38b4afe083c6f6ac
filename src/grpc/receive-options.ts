import { anObject, check, grpcComplaint } from '../checks.js';
import { checkExpectation, type Expectation } from '../descriptor/file-kind.js';
import { quotePeerText } from '../error-text.js';
import type { ReceiveOptions } from '../inbox/pending-receive.js';

/** Options of a receive of one descriptor: how long it waits, and what must come. */
export interface ReceiveFileOptions extends ReceiveOptions {
  /**
   * What the descriptor must be. If it is something else, it is closed, and the receive fails with `ERR_GRPCFD_UNEXPECTED_KIND`. (With
   * `keep`, and by URL, it can be received again.) Default: anything.
   */
  readonly expect?: Expectation | undefined;
}

/** Options of a receive of several descriptors: how long it waits, and what must come in each field. */
export interface ReceiveFilesOptions<Field extends string> extends ReceiveOptions {
  /** What the descriptor of a field must be: `{ input: { kind: 'file', access: 'read' } }`. Default: anything. */
  readonly expect?: { readonly [Name in Field]?: Expectation | undefined } | undefined;
}

/** The options of the wait, which the inbox checks, without what must come, which is checked here. */
export function splitOptions(options: ReceiveFileOptions | undefined): {
  readonly wait: ReceiveOptions | undefined;
  readonly expect: Expectation | undefined;
} {
  if (typeof options !== 'object' || options === null || !('expect' in options)) {
    return { wait: options, expect: undefined };
  }
  const { expect, ...wait } = options;
  checkExpectation(expect);
  return { wait: Object.keys(wait).length === 0 ? undefined : wait, expect };
}

/** A field that is misspelt must not be received unchecked. */
export function checkExpectations(
  fields: readonly string[],
  expect: Readonly<Record<string, unknown>>,
): void {
  check(grpcComplaint, 'expect', expect, anObject);
  for (const [field, wanted] of Object.entries(expect)) {
    if (!fields.includes(field)) {
      throw grpcComplaint(`expect has ${quotePeerText(field)}, which is not one of the fields`, 'range');
    }
    checkExpectation(wanted as Expectation | undefined);
  }
}
