/** Tells when descriptors are ready. The addon has one function to call for all descriptors of a thread. */
import { native } from './binding.js';
import { READABLE } from './bridge-types.js';

/** Is called with the events for which a descriptor is ready. */
export type OnReady = (events: number) => void;

const watchers = new Map<number, OnReady>();

function onReady(fd: number, events: number): void {
  watchers.get(fd)?.(events);
}

/**
 * Calls `watcher` once when `fd` is ready for one of the events (READABLE, WRITABLE), perhaps for nothing. It must call this again then,
 * or {@link unwatch}. With `keepsAlive`, the process does not end while `fd` is watched.
 */
export function watch(fd: number, events: number, watcher: OnReady, keepsAlive = true): void {
  native.watchReady(fd, events, onReady, keepsAlive);
  watchers.set(fd, watcher);
}

/** Whether the kernel can tell when `fd` is ready. Files that always are cannot be watched. */
export function canBeWaitedFor(fd: number): boolean {
  try {
    native.watchReady(fd, READABLE, onReady, false);
  } catch {
    return false;
  }
  native.watchReady(fd, 0, onReady, false);
  return true;
}

/** Must come before `fd` is closed. Idempotent. */
export function unwatch(fd: number): void {
  if (watchers.delete(fd)) native.watchReady(fd, 0, onReady, false);
}
