/**
 * Adds a header to the response of a call, and a trailer, at a server.
 *
 * grpc-js makes the headers and the trailers of a response in `server-interceptors.ts`, and gives them to respond() and sendTrailers() of
 * the stream, which are public. A response without a message has its trailers in the headers. grpc-js also does so for a call that it
 * refuses before any interceptor runs. So an interceptor cannot be used for this.
 */

import type { OutgoingHttpHeaders } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';

/** Adds a header to the response on `stream`, to the object that grpc-js has made for it. `make` is called when the headers are sent. */
export function addResponseHeader(stream: ServerHttp2Stream, key: string, make: () => string): void {
  const { respond } = stream;
  stream.respond = (headers: OutgoingHttpHeaders = {}, options) => {
    headers[key] = make();
    respond.call(stream, headers, options);
  };
}

/** Adds a trailer to the response on `stream`, in the same way. */
export function addResponseTrailer(stream: ServerHttp2Stream, key: string, make: () => string): void {
  const { sendTrailers } = stream;
  stream.sendTrailers = (trailers: OutgoingHttpHeaders) => {
    trailers[key] = make();
    sendTrailers.call(stream, trailers);
  };
}
