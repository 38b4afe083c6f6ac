/** Collects what `node:diagnostics_channel` publishes, for one test. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { defer } from './fd-table.js';

export function eventsOf<Payload>(name: string): Payload[] {
  const events: Payload[] = [];
  const listener = (payload: unknown): void => void events.push(payload as Payload);
  subscribe(name, listener);
  defer(() => unsubscribe(name, listener));
  return events;
}

/** Collects the warnings of this process, for one test. */
export function warnings(): Error[] {
  const all: Error[] = [];
  const listener = (warning: Error): void => void all.push(warning);
  process.on('warning', listener);
  defer(() => process.off('warning', listener));
  return all;
}
