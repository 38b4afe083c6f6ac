/**
 * How text that this package did not write gets into the text of an error. A peer chooses much of it: references, URLs, paths, names.
 * Whoever makes an error puts such a value through {@link quotePeerText}; `test/error-text.test.ts` looks for places that do not.
 */

/** UTF-16 code units of a quoted value. A longer one is cut in the middle: a path is known by its end. */
export const MAX_QUOTED_LENGTH = 200;
const HEAD_LENGTH = 120;
const TAIL_LENGTH = 60;

/**
 * Bytes of a status text in the `grpc-message` trailer, where percent-encoding makes up to nine bytes of one character. Tried: with
 * 66,000 bytes a call of grpc-js ends, with 80,000 nothing is sent, and the call and those behind it hang, because nghttp2 sends no
 * header block above 64 KiB. Peers take less: gRPC for Java and for C++ refuse more than 8 KiB of trailers by default. Half of that
 * leaves as much for a status's metadata.
 */
export const MAX_STATUS_BYTES = 4096;

/** For the mark that says what was cut. */
const MARK_BYTES = 64;

/** What `encodeURI` makes of U+FFFD, which stands in for half a surrogate pair. It is also the most that it makes of one code unit. */
const LONGEST_ENCODED = 9;

/** What moves the cursor, breaks or turns a line, or cannot be seen. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * A value for an error's text: a string in quotes, any other value without. Characters that cannot be printed are escaped, and so is
 * half a surrogate pair. A string of more than {@link MAX_QUOTED_LENGTH} is cut, and its length stands behind it:
 * `"fd:xxxx…xxxx" (100003 characters)`.
 */
export function quotePeerText(value: unknown): string {
  if (typeof value === 'string') {
    return shorten(value, (part) => printable(JSON.stringify(part).slice(1, -1)), '"');
  }
  // What an object says of itself can be as long as it likes, or throw.
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value === 'function') return 'a function';
  return shorten(String(value), printable, '');
}

/** {@link quotePeerText} without quotes, for what stands at the end of a text: the address in a failed syscall's message. */
export function cutPeerText(text: string): string {
  return shorten(text, printable, '');
}

/** A text that fits into the trailers of a call, whoever wrote it: see {@link MAX_STATUS_BYTES}. */
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

/** The index itself, or the one before it where it would part a surrogate pair. */
function boundary(text: string, index: number): number {
  return (text.codePointAt(index - 1) ?? 0) > 0xffff ? index - 1 : index;
}

function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => {
    const hex = (character.codePointAt(0) ?? 0).toString(16);
    return hex.length > 4 ? `\\u{${hex}}` : `\\u${hex.padStart(4, '0')}`;
  });
}
