/** Counts the bytes that JavaScript allocates in this process. */
import { GCProfiler, getHeapSpaceStatistics } from 'node:v8';

/** Objects are made in this space, but for very large ones. Nothing leaves it but in a collection. */
const SPACE = 'new_space';

interface SpaceStatistics {
  readonly spaceName: string;
  readonly spaceUsedSize: number;
}

export class Allocations {
  readonly #profiler = new GCProfiler();
  #atStart = 0;

  start(): void {
    this.#profiler.start();
    this.#atStart = usedNow();
  }

  /** Bytes since {@link start}. */
  stop(): number {
    const { statistics } = this.#profiler.stop();
    let bytes = 0;
    let used = this.#atStart;
    for (const { beforeGC, afterGC } of statistics) {
      bytes += usedIn(beforeGC.heapSpaceStatistics) - used;
      used = usedIn(afterGC.heapSpaceStatistics);
    }
    return bytes + usedNow() - used;
  }
}

function usedIn(spaces: readonly SpaceStatistics[]): number {
  return spaces.find(({ spaceName }) => spaceName === SPACE)?.spaceUsedSize ?? 0;
}

function usedNow(): number {
  return getHeapSpaceStatistics().find(({ space_name }) => space_name === SPACE)?.space_used_size ?? 0;
}
