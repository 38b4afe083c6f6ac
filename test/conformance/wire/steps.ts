/** What a raw peer does, one step after another. */
import type { Frame } from './frames.js';

export type Step =
  /** Adds a frame to the bytes that the next flush writes. */
  | { readonly do: 'frame'; readonly frame: Frame }
  /** Writes the frames so far, cut at these parts per thousand of their bytes, each piece in a turn of its own. */
  | { readonly do: 'flush'; readonly cuts?: readonly number[] }
  /** Waits until something has been received: see `Sight`. Given up when nothing moves any more. */
  | { readonly do: 'wait'; readonly sight: Sight }
  | { readonly do: 'turns'; readonly count: number }
  | { readonly do: 'ms'; readonly count: number }
  /** Stops reading: what the other end sends stays in the kernel. */
  | { readonly do: 'pause' | 'resume' }
  /** Ends the writing half. */
  | { readonly do: 'end' }
  /** Closes at once. The other end sees a reset if it sent what was not read. */
  | { readonly do: 'destroy' };

/** What can be waited for; a number is the id of a stream. */
export type Sight =
  | 'preface'
  | 'settings'
  | 'goaway'
  | 'closed'
  | `headers ${number}`
  | `data ${number}`
  | `end ${number}`;

/** What a raw peer answers by itself, so that a script need not. */
export interface Automatic {
  readonly settingsAck: boolean;
  readonly pingAck: boolean;
  readonly window: boolean;
}

export const SOUND: Automatic = { settingsAck: true, pingAck: true, window: true };
