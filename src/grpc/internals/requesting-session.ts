/**
 * Tells whose request() runs. A header value that is made inside of it (`call-metadata.ts`) has to know the session, and Node does not
 * tell: it turns the value into text before it makes the stream. So request() of the session gets a wrapper, which calls it as it is.
 */
import type { ClientHttp2Session } from 'node:http2';

let requesting: ClientHttp2Session | undefined;

/** The session whose request() runs now, if its requests are noted. */
export function requestingSession(): ClientHttp2Session | undefined {
  return requesting;
}

/** Notes the requests of `session` from now on. It is called once for a session. */
export function noteRequestsOf(session: ClientHttp2Session): void {
  const { request } = session;
  session.request = function (this: ClientHttp2Session, ...args: Parameters<typeof request>) {
    const before = requesting;
    requesting = session;
    try {
      return request.apply(this, args);
    } finally {
      requesting = before;
    }
  } as typeof request;
}
