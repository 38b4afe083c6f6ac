/** What the tool prints for programs. Texts for people pass through `error-text.ts`. */

/** One line. */
export function toJson(value: unknown): string {
  return JSON.stringify(value);
}

/** Several lines, for a single result. */
export function toLongJson(value: unknown): string {
  return JSON.stringify(value, null, 2);
}
