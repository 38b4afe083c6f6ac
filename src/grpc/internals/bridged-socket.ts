/**
 * A net.Socket for a connection that carries descriptors.
 *
 * HTTP/2 and TLS get a stock net.Socket over one end of a socketpair (`src/socket/bridged-stream.ts`). Two methods of its handle
 * are replaced. Every close of a net.Socket calls `close` of its handle (`lib/net.js`, _destroy; a TLSSocket destroys the socket below
 * it), so the bridge learns there that the stream of libuv is about to be closed. `getpeername`, which a Pipe does not have, is called
 * for `remoteAddress`, also by a TLSSocket (`_tls_wrap.js`, proxiedMethods).
 */

import type { ServerHttp2Session } from 'node:http2';
import * as net from 'node:net';
import { changed, hidden } from '../../internals/hidden.js';
import { native } from '../../native/binding.js';
import { BridgedStream, type BridgedStreamListener } from '../../socket/bridged-stream.js';

const kSelf = Symbol('grpcfd.socket');

interface PipeHandle {
  close(callback?: () => void): void;
  /** With those that libuv has not written yet. */
  readonly bytesWritten: number;
  getpeername?(out: { address?: string }): number;
}

export interface BridgedConnection {
  /** For HTTP/2 or TLS. Destroying it closes the connection. */
  readonly socket: net.Socket;
  readonly stream: BridgedStream;
}

export interface BridgedConnectionListener extends Pick<BridgedStreamListener, 'onDescriptors'> {
  /** As {@link BridgedStreamListener.onStalled}. */
  onStalled?(): void;
  /** As {@link BridgedStreamListener.onFailed}. Without it, the socket is destroyed. */
  onFailed?(error: Error): void;
  /** Runs once, in the turn in which the socket is destroyed, before its 'close'. */
  onClosed(): void;
}

/**
 * Takes over `fd`, a connected unix socket, and closes it when this throws. `allowHalfOpen` is that of the socket, and `peerName` its
 * `remoteAddress`.
 */
export function bridgedConnection(
  fd: number,
  allowHalfOpen: boolean,
  listener: BridgedConnectionListener,
  peerName = 'unix:',
): BridgedConnection {
  let pair: [number, number];
  try {
    pair = native.socketPair();
  } catch (error) {
    native.close(fd);
    throw error;
  }
  const [near, far] = pair;
  let socket: net.Socket | undefined;
  try {
    native.lend(near);
    const opened = new net.Socket({ fd: near, allowHalfOpen, readable: true, writable: true });
    native.unguard(near);
    socket = opened;
    const handle = handleOf(opened);
    const stream = new BridgedStream(fd, far, near, () => handle.bytesWritten, {
      onDescriptors: (fds, truncated) => listener.onDescriptors(fds, truncated),
      onFailed: (error) => {
        if (listener.onFailed === undefined) opened.destroy(error);
        else listener.onFailed(error);
      },
      onStalled: () => listener.onStalled?.(),
      onClosed: () => listener.onClosed(),
    });
    hookHandle(opened, handle, peerName, (close) => stream.close(close));
    return { socket, stream };
  } catch (error) {
    native.closeAll(socket === undefined ? [fd, far, near] : [fd, far]);
    socket?.destroy();
    throw error;
  }
}

/** The error for calls on a connection that has failed. grpc-js makes UNAVAILABLE of its code, and its text tells the reason. */
export function connectionFailed(cause: Error): Error {
  const { errno, syscall } = cause as NodeJS.ErrnoException;
  const error = new Error(`the connection failed: ${cause.message}`, { cause });
  return Object.assign(error, { code: 'ECONNRESET', errno, syscall });
}

function handleOf(socket: net.Socket): PipeHandle {
  const handle = hidden<PipeHandle>(socket, '_handle');
  if (typeof handle?.close !== 'function' || typeof handle.bytesWritten !== 'number')
    throw changed('the handle of a net.Socket');
  return handle;
}

function hookHandle(
  socket: net.Socket,
  handle: PipeHandle,
  peerName: string,
  onClose: (close: () => void) => void,
): void {
  const { close } = handle;
  handle.close = (callback) => {
    handle.close = close;
    onClose(() => close.call(handle, callback));
  };
  handle.getpeername = (out) => {
    out.address = peerName;
    return 0;
  };
  // `session.socket` is a Proxy of the socket, and gives access to its properties only.
  Object.defineProperty(socket, kSelf, { value: socket });
}

/**
 * The bridged socket below an HTTP/2 session, and below its TLS socket if it has one. `session.socket` is a Proxy that gives access to
 * properties only, so the socket is found in a property. `_parent` is the socket from which a TLSSocket was made (`_tls_wrap.js`).
 */
export function bridgedSocketOf(session: ServerHttp2Session): net.Socket | undefined {
  const socket = session.socket;
  const found = hidden<net.Socket>(socket, kSelf);
  if (found !== undefined) return found;
  const parent = hidden<net.Socket | null>(socket, '_parent');
  return parent === undefined || parent === null ? undefined : hidden<net.Socket>(parent, kSelf);
}
