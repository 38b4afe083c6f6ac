/**
 * How text from elsewhere gets into the text of an error. A peer chooses much of it: references, URLs, paths, names. Code that makes an
 * error passes such a value through {@link quotePeerText}. `test/error-text.test.ts` looks for code that does not.
 */

/** UTF-16 code units of a quoted value. A longer value is cut in the middle, because the end of a path tells most about it. */
export const MAX_QUOTED_LENGTH = 200;
const HEAD_LENGTH = 120;
const TAIL_LENGTH = 60;

/**
 * Bytes of a status text in the `grpc-message` trailer, where percent-encoding makes up to nine bytes of one character. nghttp2 sends no
 * header block above 64 KiB: in a trial, a call of grpc-js ended with 66,000 bytes, but with 80,000 nothing was sent, and the call and
 * those behind it hung. Peers accept less: gRPC for Java and for C++ refuse more than 8 KiB of trailers by default. One half of that is
 * for the text, the other for the metadata of the status.
 */
export const MAX_STATUS_BYTES = 4096;

/** Room for the mark that tells the length of a text that was cut. */
const MARK_BYTES = 64;

/** Bytes that `encodeURI` makes of U+FFFD, which replaces half a surrogate pair. It is the most that it makes of one code unit. */
const LONGEST_ENCODED = 9;

/** Characters that move the cursor, break a line, change its direction, or are invisible. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * A value in the form in which it is put into the text of an error. A string is in quotes, any other value is not. Characters that cannot
 * be printed are escaped, and so is half a surrogate pair. A string of more than {@link MAX_QUOTED_LENGTH} is cut, and its length is
 * appended: `"fd:xxxx…xxxx" (100003 characters)`.
 */
export function quotePeerText(value: unknown): string {
  if (typeof value === 'string') {
    return shorten(value, (part) => printable(JSON.stringify(part).slice(1, -1)), '"');
  }
  // The toString() of an object can return a text of any length, or throw.
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value === 'function') return 'a function';
  return shorten(String(value), printable, '');
}

/** {@link quotePeerText} without quotes, for a value at the end of a text, like the address in the message of a failed syscall. */
export function cutPeerText(text: string): string {
  return shorten(text, printable, '');
}

/** {@link cutPeerText} in one line: what is kept of the text has a space in place of each line break and the white space around it. */
export function cutPeerLine(text: string): string {
  return shorten(text, (part) => printable(part.replace(/\s*\n\s*/g, ' ')), '');
}

/**
 * The text of what a user's function threw or rejected with. It never throws, though the `message` of an error can be any value, or a getter
 * that throws.
 */
export function causeText(cause: unknown): string {
  try {
    if (cause instanceof Error) {
      const message: unknown = cause.message;
      return typeof message === 'string' ? cutPeerText(message) : quotePeerText(message);
    }
  } catch {
    // Only the type of the cause is told then.
  }
  return quotePeerText(cause);
}

/** The stack of what a user's function threw or rejected with. Undefined if it has none. It never throws. */
export function causeStack(cause: unknown): string | undefined {
  try {
    if (cause instanceof Error && typeof cause.stack === 'string') return cause.stack;
  } catch {
    // A getter of it may throw.
  }
  return undefined;
}

/** Cuts a text so that it fits into the trailers of a call: see {@link MAX_STATUS_BYTES}. */
export function fitIntoTrailers(text: string): string {
  if (text.length <= MAX_STATUS_BYTES) {
    // encodeURI() throws on half a surrogate pair, here and in grpc-js.
    const wellFormed = Buffer.from(text).toString();
    if (encodeURI(wellFormed).length <= MAX_STATUS_BYTES) return wellFormed;
  }
  let kept = '';
  let bytes = MARK_BYTES;
  for (const character of text.slice(0, MAX_STATUS_BYTES)) {
    const isHalf = /\p{Cs}/u.test(character);
    bytes += isHalf ? LONGEST_ENCODED : encodeURI(character).length;
    if (bytes > MAX_STATUS_BYTES) break;
    kept += isHalf ? '\ufffd' : character;
  }
  return `${kept}… (${text.length} characters)`;
}

function shorten(text: string, escaped: (part: string) => string, quote: '"' | ''): string {
  if (text.length <= MAX_QUOTED_LENGTH) return `${quote}${escaped(text)}${quote}`;
  const head = text.slice(0, boundary(text, HEAD_LENGTH));
  const tail = text.slice(boundary(text, text.length - TAIL_LENGTH));
  return `${quote}${escaped(head)}…${escaped(tail)}${quote} (${text.length} characters)`;
}

/** The index itself, or the index before it where a cut would split a surrogate pair. */
function boundary(text: string, index: number): number {
  return (text.codePointAt(index - 1) ?? 0) > 0xffff ? index - 1 : index;
}

function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => {
    const hex = (character.codePointAt(0) ?? 0).toString(16);
    return hex.length > 4 ? `\\u{${hex}}` : `\\u${hex.padStart(4, '0')}`;
  });
}
