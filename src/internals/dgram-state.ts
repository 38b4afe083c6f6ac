/**
 * The state of a dgram.Socket, in a property whose key is a symbol that is not exported (`lib/internal/dgram.js`). Its `_handle` is
 * deprecated, and warns. `handle` is null after close(), and its `fd` is negative before bind().
 *
 * bind({ fd }) does not look whether the socket is connected. With `connectState` 2, which connect() sets, send() leaves the address away,
 * and remoteAddress() and disconnect() work.
 */

import type * as dgram from 'node:dgram';
import process from 'node:process';
import { changed, hidden } from './hidden.js';

interface State {
  readonly handle: { readonly fd?: number } | null;
  connectState: number;
}

const CONNECTED = 2;

function stateOf(socket: dgram.Socket): State {
  const key = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'state symbol');
  const state = key === undefined ? undefined : hidden<State>(socket, key);
  if (state === undefined || !('handle' in state) || typeof state.connectState !== 'number') {
    throw changed('the state of a dgram.Socket');
  }
  return state;
}

/** Whether it is one. To import that module would take a fifth of a millisecond of every start. */
export function isDatagramSocket(thing: unknown): thing is dgram.Socket {
  return thing instanceof process.getBuiltinModule('node:dgram').Socket;
}

/** The number of the descriptor, which stays Node's. Undefined before it is bound, and after it was closed. */
export function descriptorOfDatagramSocket(socket: dgram.Socket): number | undefined {
  const fd = stateOf(socket).handle?.fd;
  return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}

/** Tells Node that the descriptor that `socket` was bound with is connected. */
export function setConnected(socket: dgram.Socket): void {
  stateOf(socket).connectState = CONNECTED;
}
