import { constants, type ServerHttp2Session } from 'node:http2';
import { clearTimeout, nextTick, now, setTimeout } from '../../timers.js';
import type { Connection } from '../connection.js';

/**
 * How long calls that were under way when the peer read the notice may take to come in: the peer has written them by then, and
 * what it wrote is read within a turn or two. With 0 ms, 7 of 107,248 calls of a Go client were refused; with 20 ms, none of
 * 111,727.
 */
const GRACE_MS = 20;

/** A peer that reads nothing gets no more time than this. */
const LONGEST_GRACE_MS = 1_000;

/** How often it is looked whether the peer has read the notice. */
const CHECK_MS = 5;

/** The comparison with stock (`test/conformance/`) does without: this is where ours is meant to differ. */
export const twoSteps = { enabled: true };

/** The last stream of a GOAWAY that excludes none yet. */
const NO_STREAM_EXCLUDED = 2 ** 31 - 1;

/**
 * Has a server's session end in two steps (RFC 9113, 6.8): a GOAWAY that refuses no stream, and the real one when the peer has
 * read that. Node sends the real one at once, and refuses calls that are under way. A grpc-go client repeats such a call in
 * silence, but the Go package sends the call's descriptors only once, so its handler would wait for them in vain.
 *
 * nghttp2 cannot be asked for the first step, since it ignores every stream that comes after it. So the notice is inserted between
 * two writes of HTTP/2, below it. Under TLS there is no such place, and the session ends as Node has it.
 *
 * `close`, `goaway` and `destroy` of the session are replaced: grpc-js's server and Node itself end sessions with these.
 * `tryShutdown()`, `drain()`, `unbind()` and idle sessions call `close()`; the age of a connection calls `goaway()` with the last
 * stream of all, and then `close()`; `forceShutdown()` calls `close()` and then `destroy()`.
 */
export function endInTwoSteps(session: ServerHttp2Session, connection: Connection): void {
  const { close, goaway, destroy } = session;
  let noticeSent = false;
  let noticeData: Uint8Array | undefined;
  let deferred = false;
  let peerLeaves = false;
  let timer: NodeJS.Timeout | undefined;

  // Emitted before Node closes the session for it.
  session.prependListener('goaway', () => {
    peerLeaves = true;
  });
  session.once('close', () => clearTimeout(timer));

  const isPossible = (): boolean =>
    twoSteps.enabled && !session.encrypted && !peerLeaves && !connection.socket.destroyed;

  const notify = (): boolean => {
    if (!isPossible()) return false;
    noticeSent ||= connection.insert(goawayNotice(noticeData));
    return noticeSent;
  };

  const finish = (): void => {
    if (!deferred) return;
    deferred = false;
    clearTimeout(timer);
    close.call(session);
  };

  const finishWhenRead = (): void => {
    const began = now();
    let readAt: number | undefined;
    const check = (): void => {
      if (!deferred) return;
      const time = now();
      // It may have to wait for the end of a write.
      if (notify() && connection.hasPeerReadAll()) readAt ??= time;
      const graceIsOver = readAt !== undefined && time - readAt >= GRACE_MS;
      if (graceIsOver || time - began >= LONGEST_GRACE_MS) finish();
      else timer = setTimeout(check, CHECK_MS);
    };
    check();
  };

  session.close = (callback) => {
    if (session.closed || session.destroyed) {
      // Once a peer's hang-up has destroyed a session, and until its socket has closed, Node drops the callback, and
      // tryShutdown() would wait for it for ever.
      if (callback !== undefined && !session.closed) session.once('close', callback);
      else close.call(session, callback);
      return;
    }
    if (callback !== undefined) session.once('close', callback);
    if (deferred) {
      if (peerLeaves || connection.socket.destroyed) finish();
      return;
    }
    if (!isPossible()) {
      close.call(session);
      return;
    }
    deferred = true;
    // forceShutdown() destroys the session next, and then there is no first step.
    nextTick(finishWhenRead);
  };

  session.goaway = (code, lastStreamId, data) => {
    const isNotice = code === constants.NGHTTP2_NO_ERROR && lastStreamId === NO_STREAM_EXCLUDED;
    if (!isNotice || session.closed || !isPossible()) {
      goaway.call(session, code, lastStreamId, data);
      return;
    }
    noticeData = bytesOf(data);
    // In the middle of a write it cannot leave yet. close(), which follows, tries again.
    notify();
  };

  session.destroy = (error, code) => {
    // Node ends the socket in another way when the session had been closed before.
    finish();
    destroy.call(session, error, code);
  };
}

function bytesOf(data: NodeJS.ArrayBufferView | undefined): Uint8Array | undefined {
  return data === undefined ? undefined : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

const FRAME_HEADER_BYTES = 9;
const GOAWAY = 0x7;

function goawayNotice(data: Uint8Array = new Uint8Array()): Uint8Array {
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + 8 + data.length);
  frame.writeUIntBE(8 + data.length, 0, 3);
  frame.writeUInt8(GOAWAY, 3);
  frame.writeUInt32BE(NO_STREAM_EXCLUDED, FRAME_HEADER_BYTES);
  frame.writeUInt32BE(constants.NGHTTP2_NO_ERROR, FRAME_HEADER_BYTES + 4);
  frame.set(data, FRAME_HEADER_BYTES + 8);
  return frame;
}
