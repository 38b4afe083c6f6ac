/** What the tool prints for programs. Texts for people pass through `error-text.ts`. */

/**
 * Characters that move the cursor, change the direction of a text, are invisible, or break a line elsewhere. JSON lets them stand in a string.
 * A line feed stands between its lines alone: in a string, it is escaped already.
 */
const UNPRINTABLE = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/gu;

/** One line, of printable characters alone. */
export function toJson(value: unknown): string {
  return escaped(JSON.stringify(value));
}

/** Several lines, for a single result. */
export function toLongJson(value: unknown): string {
  return escaped(JSON.stringify(value, null, 2));
}

function escaped(json: string): string {
  return json.replace(UNPRINTABLE, (character) =>
    // A character above U+FFFF is two code units, and JSON escapes each.
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}
