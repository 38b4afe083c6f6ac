/** Shows progress: one line that is overwritten on a terminal, and a line for each case elsewhere. */
export class Progress {
  readonly #stream: NodeJS.WriteStream;
  #last = '';

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
  }

  show(text: string): void {
    if (this.#stream.isTTY) {
      this.#stream.write(`\r\x1b[K${text}`);
      return;
    }
    // A log does not show the rounds.
    const shown = text.replace(/, round \d+ of \d+$/, '');
    if (shown !== this.#last) this.#stream.write(`${shown}\n`);
    this.#last = shown;
  }

  end(): void {
    if (this.#stream.isTTY) this.#stream.write('\r\x1b[K');
  }
}
