/** One line that is written over on a terminal, and a line now and then elsewhere. */
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
    // A log needs no rounds.
    const shown = text.replace(/, round \d+ of \d+$/, '');
    if (shown !== this.#last) this.#stream.write(`${shown}\n`);
    this.#last = shown;
  }

  end(): void {
    if (this.#stream.isTTY) this.#stream.write('\r\x1b[K');
  }
}
