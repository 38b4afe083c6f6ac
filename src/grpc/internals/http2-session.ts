/**
 * Finds the session of a socket, and the streams of a session.
 *
 * grpc-js does not give access to the session of its client. Node keeps the session of a socket in `socket[kBoundSession]`, and the
 * streams of a session in `session[kState].streams` (`lib/internal/http2/core.js`). Node imports the first key from a module that does
 * not export it, so its value is 'undefined' up to now. Therefore every property is looked at.
 */

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  constants,
  type Http2Stream,
  type ServerHttp2Session,
} from 'node:http2';
import type * as net from 'node:net';
import { changed, hidden } from './hidden.js';

type Http2Session = ClientHttp2Session | ServerHttp2Session;

/** The HTTP/2 session that was made with `socket`. */
export function sessionOf(socket: net.Socket): Http2Session | undefined {
  return Reflect.ownKeys(socket)
    .map((key) => hidden<Http2Session>(socket, key))
    .find((value) => typeof value === 'object' && value !== null && 'goaway' in value && 'ping' in value);
}

/**
 * Makes grpc-js use a new connection for further calls, as after a GOAWAY of the server. Calls that run end on the present connection.
 * The event that the frame would cause is emitted on the session (`transport.js`), which was made with `socket`.
 */
export function leaveConnection(socket: net.Socket): void {
  const session = sessionOf(socket);
  if (session !== undefined) session.emit('goaway', constants.NGHTTP2_NO_ERROR, 0);
  else socket.destroy(changed("the session of a client's socket"));
}

/** States of streams that are active in nghttp2: open, or half-closed by one side (NGHTTP2_STREAM_STATE_*). */
const ACTIVE_STATES: ReadonlySet<number | undefined> = new Set([2, 5, 6]);

/**
 * For a session that does not read what has come, though no write is in progress: whether it will never read again. nghttp2 stops reading
 * in two cases. After an error that ends the session, its streams never end, because older versions of Node do not report the error
 * (nodejs/node pull request 62867 corrects that). After a GOAWAY, when no stream is active any more, the streams end as their users read
 * them. A user that reads slowly is not a case, because HTTP/2 goes on reading.
 */
export function isStuck(session: Http2Session): boolean {
  if (session.destroyed) return false;
  if (!session.closed) return true;
  return [...streamsOf(session)].some((stream) => !stream.destroyed && ACTIVE_STATES.has(stream.state.state));
}

/**
 * The stream of a client's session that was started with `value` as the value of the header `key`. `value` is an object, which Node turns
 * into text for the peer, and keeps in `sentHeaders` as it is. Undefined if that stream has closed.
 */
export function streamStartedWith(
  session: Http2Session,
  key: string,
  value: object,
): ClientHttp2Stream | undefined {
  for (const stream of streamsOf(session)) {
    const header: unknown = stream.sentHeaders?.[key];
    if (header === undefined) continue;
    const found: unknown = Array.isArray(header) ? header[0] : header;
    if (typeof found !== 'object') throw changed("sentHeaders of Node's HTTP/2 streams");
    if (found === value) return stream as ClientHttp2Stream;
  }
  return undefined;
}

function streamsOf(session: Http2Session): Iterable<Http2Stream> {
  const key = Reflect.ownKeys(session).find(
    (each) => typeof each === 'symbol' && each.description === 'state',
  );
  const state = key === undefined ? undefined : hidden<{ streams?: Map<number, Http2Stream> }>(session, key);
  // Node has a Map class of its own, so `instanceof Map` is false for it.
  if (typeof state?.streams?.values !== 'function') throw changed("the streams of Node's HTTP/2 session");
  return state.streams.values();
}
