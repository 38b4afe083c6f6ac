/** What a run leaves in its process: descriptors, handles that keep it alive, memory. */
import { descriptorTable } from '../support/fd-table.js';
import { isOurs, type Library } from './library.js';
import type { Run } from './run.js';

/** Memory that large bodies may leave behind, per run. */
const HARMLESS_BYTES = 1_000_000;

export class Leftovers {
  readonly #descriptors = descriptorTable();
  readonly #resources = process.getActiveResourcesInfo();
  readonly #bytes: number | undefined;
  readonly #library: Library;

  /** @param withMemory also compare memory, which takes two collections of garbage */
  constructor(library: Library, withMemory: boolean) {
    this.#library = library;
    this.#bytes = withMemory ? heldBytes() : undefined;
  }

  /** Records what is left when nothing moves any more. */
  async log(run: Run): Promise<void> {
    await run.until(() => this.#leaked().length === 0 && this.#newResources().length === 0, 2);
    run.log('descriptors left', this.#leaked().join(' ') || 'none');
    run.log('handles left', this.#newResources().join(' ') || 'none');
    if (this.#bytes === undefined) return;
    const before = this.#bytes;
    // The last references go with callbacks that still wait for their turn.
    await run.turns(10);
    const held = () => heldBytes() - before > HARMLESS_BYTES;
    if (held()) await run.ms(20);
    run.log('memory', held() ? 'held' : 'released');
  }

  /** Kinds of descriptors that were not there before. */
  #leaked(): string[] {
    const targets = [...descriptorTable()]
      .filter(([fd, target]) => this.#descriptors.get(fd) !== target)
      .map(([, target]) => target);
    const counted = isOurs(this.#library) ? asStock(targets) : targets;
    return counted.map((target) => target.replaceAll(/\d+/g, 'N')).sort();
  }

  #newResources(): string[] {
    const before = [...this.#resources];
    return process
      .getActiveResourcesInfo()
      .filter((resource) => {
        const index = before.indexOf(resource);
        if (index >= 0) before.splice(index, 1);
        return index < 0 && resource !== 'Immediate';
      })
      .sort();
  }
}

const SOCKETS_PER_CONNECTION = 3;

/**
 * A connection of ours has three sockets, one of them under two numbers, and all of them have an epoll set: where stock leaves a connection,
 * so does ours.
 */
function asStock(targets: readonly string[]): string[] {
  const sockets = new Set(targets.filter((target) => target.startsWith('socket:')));
  const others = targets.filter((target) => !sockets.has(target) && target !== 'anon_inode:[eventpoll]');
  return [...others, ...[...sockets].slice(0, Math.ceil(sockets.size / SOCKETS_PER_CONNECTION))];
}

function heldBytes(): number {
  globalThis.gc?.();
  return process.memoryUsage().arrayBuffers;
}
