/**
 * Adds a header to the response of a call, at a server.
 *
 * grpc-js makes the headers of a response in `server-interceptors.ts`, and gives them to respond() of the stream, which is public. It
 * also does so for a call that it refuses before any interceptor runs. So an interceptor cannot be used for this.
 */

import type { OutgoingHttpHeaders } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';

/** Adds a header to the response on `stream`. It is added to the object that grpc-js has made for that response. */
export function addResponseHeader(stream: ServerHttp2Stream, key: string, value: string): void {
  const { respond } = stream;
  stream.respond = (headers: OutgoingHttpHeaders = {}, options) => {
    headers[key] = value;
    respond.call(stream, headers, options);
  };
}
