/** Something worked, and was not what it should be. */
export class WrongResult extends Error {}

export function expectEqual(actual: unknown, expected: unknown): void {
  if (actual !== expected)
    throw new WrongResult(`${String(expected)} was expected, and ${String(actual)} came`);
}
