/** The options of the programs that run for as long as one likes: `npm run test:model` and others. */

/** What `parse` gives. Where it throws, the usage is printed, and the process ends. */
export function readOrExit<Options>(usage: string, parse: () => Options): Options {
  try {
    return parse();
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${usage}`);
    return process.exit(2);
  }
}

/** The whole number above 0 that an option was given, or undefined where it was not given. */
export function whole(name: string, text: string | undefined): number | undefined {
  const number = positive(name, text);
  if (number !== undefined && !Number.isSafeInteger(number)) throw new Error(`${name} takes a whole number`);
  return number;
}

/** The number above 0 that an option was given, or undefined where it was not given. */
export function positive(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const number = Number(text);
  if (!(number > 0)) throw new Error(`${name} takes a number above 0`);
  return number;
}
