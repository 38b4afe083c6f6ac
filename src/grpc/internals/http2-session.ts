/**
 * The session of a socket, and its streams.
 *
 * grpc-js keeps its client's session to itself. Node keeps a socket's session under `socket[kBoundSession]`, and a session's streams
 * under `session[kState].streams` (`lib/internal/http2/core.js`). The first key is imported from where it is not exported, and so is
 * 'undefined' up to now. Hence the look at every property.
 */

import { type ClientHttp2Session, constants, type Http2Stream, type ServerHttp2Session } from 'node:http2';
import type * as net from 'node:net';
import { changed, hidden } from './hidden.js';

type Http2Session = ClientHttp2Session | ServerHttp2Session;

/** The HTTP/2 session over `socket`, which is the one that it was made with. */
export function sessionOf(socket: net.Socket): Http2Session | undefined {
  return Reflect.ownKeys(socket)
    .map((key) => hidden<Http2Session>(socket, key))
    .find((value) => typeof value === 'object' && value !== null && 'goaway' in value && 'ping' in value);
}

/**
 * Has grpc-js make a new connection for further calls, as at a server's GOAWAY: calls that run end on the present one. Its
 * session learns it by the event that the frame would cause (`transport.js`). `socket` is what the session was made with.
 */
export function leaveConnection(socket: net.Socket): void {
  const session = sessionOf(socket);
  if (session !== undefined) session.emit('goaway', constants.NGHTTP2_NO_ERROR, 0);
  else socket.destroy(changed("the session of a client's socket"));
}

/** States of a stream that nghttp2 still has: open, half-closed by one side (NGHTTP2_STREAM_STATE_*). */
const ACTIVE_STATES: ReadonlySet<number | undefined> = new Set([2, 5, 6]);

/**
 * Of a session that does not read what has come, though no write is under way: whether that is for good. nghttp2 wants nothing more
 * after an error that ends the session, of which older versions of Node tell nobody (it is mended by nodejs/node pull request 62867);
 * then its streams never end. It also wants nothing more after a GOAWAY, once no stream is active; then the streams end as their
 * users read them. A user who reads slowly is no reason: HTTP/2 goes on reading.
 */
export function isStuck(session: Http2Session): boolean {
  if (session.destroyed) return false;
  if (!session.closed) return true;
  const key = Reflect.ownKeys(session).find(
    (each) => typeof each === 'symbol' && each.description === 'state',
  );
  const state = key === undefined ? undefined : hidden<{ streams?: Map<number, Http2Stream> }>(session, key);
  // Node's own kind of a Map, which is no instance of the public one.
  if (typeof state?.streams?.values !== 'function') throw changed("the streams of Node's HTTP/2 session");
  return [...state.streams.values()].some(
    (stream) => !stream.destroyed && ACTIVE_STATES.has(stream.state.state),
  );
}
