/**
 * Finds the session of a socket, and the streams of a session.
 *
 * grpc-js does not give access to the session of its client. Node keeps the session of a socket in `socket[kBoundSession]`, and the
 * streams of a session in `session[kState].streams` (`lib/internal/http2/core.js`). Node imports the first key from a module that does
 * not export it, so its value is 'undefined' up to now. Therefore every property is looked at.
 *
 * A stream is in `streams` from request() until it is destroyed. Its `closed` tells earlier that nghttp2 has closed it, or that its
 * RST_STREAM is sent before the next HEADERS.
 */

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  constants,
  type Http2Stream,
  type ServerHttp2Session,
} from 'node:http2';
import type * as net from 'node:net';
import { changed, hidden } from '../../internals/hidden.js';

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
  return [...streamsOf(session).values()].some(
    (stream) => !stream.destroyed && ACTIVE_STATES.has(stream.state.state),
  );
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
  for (const stream of streamsOf(session).values()) {
    const header: unknown = stream.sentHeaders?.[key];
    if (header === undefined) continue;
    const found: unknown = Array.isArray(header) ? header[0] : header;
    if (typeof found !== 'object') throw changed("sentHeaders of Node's HTTP/2 streams");
    if (found === value) return stream as ClientHttp2Stream;
  }
  return undefined;
}

/**
 * Whether the peer lets a client start one more stream now. nghttp2 keeps the HEADERS of a stream back while as many streams are open as
 * the SETTINGS of the peer allow (SETTINGS_MAX_CONCURRENT_STREAMS), and Node does not tell so. Until the SETTINGS have come, nghttp2
 * allows 100. False for a destroyed session.
 */
export function hasFreeStream(session: ClientHttp2Session): boolean {
  if (session.destroyed) return false;
  const { maxConcurrentStreams = 0 } = session.remoteSettings;
  const streams = streamsOf(session);
  if (streams.size < maxConcurrentStreams) return true;
  let open = 0;
  for (const stream of streams.values()) {
    if (!stream.closed) open++;
    if (open >= maxConcurrentStreams) return false;
  }
  return open < maxConcurrentStreams;
}

type Streams = Pick<Map<number, Http2Stream>, 'size' | 'values'>;

/** `kState`, once a session has shown it. */
let stateKey: symbol | undefined;

function streamsOf(session: Http2Session): Streams {
  stateKey ??= Object.getOwnPropertySymbols(session).find((each) => each.description === 'state');
  const state = stateKey === undefined ? undefined : hidden<{ streams?: Streams }>(session, stateKey);
  // Node has a Map class of its own, so `instanceof Map` is false for it.
  if (typeof state?.streams?.values !== 'function') throw changed("the streams of Node's HTTP/2 session");
  return state.streams;
}
