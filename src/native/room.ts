/** What makes room in the descriptor table when it is full: the layers above know what can be let go. */

/** Closes descriptors that nobody needs. Returns how many. It must not throw. */
type MakeRoom = () => number;

let makeRoom: MakeRoom = () => 0;

export function setMakeRoom(make: MakeRoom): void {
  makeRoom = make;
}

/** Whether the table of this process was full (EMFILE), and has room now. */
export function hasMadeRoom(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | null | undefined)?.code === 'EMFILE' && makeRoom() > 0;
}

/** `make` makes a descriptor. Where the table is full, it is tried once more when there is room. */
export function withRoom<Arguments extends unknown[], Result>(
  make: (...args: Arguments) => Result,
): (...args: Arguments) => Result {
  return (...args) => {
    try {
      return make(...args);
    } catch (error) {
      if (!hasMadeRoom(error)) throw error;
    }
    return make(...args);
  };
}
