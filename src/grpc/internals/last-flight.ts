/**
 * Tells which end writes the last bytes of a TLS handshake. Node reports the end of the handshake while OpenSSL still reads, and writes
 * these bytes after that (`ClearOut` and `EncOut` in `tls_wrap.cc`). The other end has not ended its handshake before it has read them.
 *
 * In TLS 1.3, and where a session of TLS 1.2 is resumed, the client writes them; otherwise the server does (RFC 8446, 2; RFC 5246, 7.3).
 */

import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/**
 * Whether this end writes the last bytes. False for a socket without TLS. `socket` may be that of an HTTP/2 session, a Proxy that gives
 * access to properties only.
 */
export function writesLastFlight(socket: Socket | TLSSocket, role: 'client' | 'server'): boolean {
  const { getProtocol } = socket as Partial<TLSSocket>;
  if (getProtocol === undefined) return false;
  const secure = socket as TLSSocket;
  const last = secure.getProtocol() === 'TLSv1.3' || secure.isSessionReused() ? 'client' : 'server';
  return last === role;
}
