import type { ClientHttp2Stream } from 'node:http2';
import type { Connection } from '../connection.js';
import { FDS_METADATA_KEY } from '../fds-metadata.js';
import type { ValueAtStreamStart } from '../internals/call-metadata.js';
import { streamStartedWith } from '../internals/http2-session.js';

/** One attempt of a call, whose stream has started on a connection. A hedged call has several at a time. */
export class Attempt {
  readonly connection: Connection;
  readonly #metadata: ValueAtStreamStart;
  #stream: ClientHttp2Stream | undefined;

  /** `metadata` is the value of {@link FDS_METADATA_KEY} that the stream starts with. */
  constructor(connection: Connection, metadata: ValueAtStreamStart) {
    this.connection = connection;
    this.#metadata = metadata;
  }

  /** Whether its server may still answer. The stream is looked up at the first use of this, because most calls never need it. */
  get isLive(): boolean {
    if (!this.connection.isOpen) return false;
    this.#stream ??= this.#findStream();
    return this.#stream !== undefined && !this.#stream.closed && !this.#stream.destroyed;
  }

  #findStream(): ClientHttp2Stream | undefined {
    const session = this.connection.findSession?.();
    if (session === undefined || session.destroyed) return undefined;
    return streamStartedWith(session, FDS_METADATA_KEY, this.#metadata);
  }
}
