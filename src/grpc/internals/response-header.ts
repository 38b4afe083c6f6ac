/**
 * A header in a call's response, at a server.
 *
 * grpc-js builds the headers of a response in `server-interceptors.ts` and gives them to the stream's public respond(), also
 * those of a call that it refuses before any interceptor runs. No interceptor sees these.
 */

import type { OutgoingHttpHeaders } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';

/** Has the response to the call of `stream` carry a header more. It is put into the object that grpc-js made for that response. */
export function addResponseHeader(stream: ServerHttp2Stream, key: string, value: string): void {
  const { respond } = stream;
  stream.respond = (headers: OutgoingHttpHeaders = {}, options) => {
    headers[key] = value;
    respond.call(stream, headers, options);
  };
}
