/** The channels of a Node client: one for each row, or kept from row to row. */
import * as grpc from '@grpc/grpc-js';
import type * as grpcfd from 'grpcfd';
import type { Row } from './row.js';
import { channelCredentials } from './security.js';

export class Channels {
  readonly #certs: string;
  readonly #kept = new Map<string, grpc.Channel>();

  constructor(certs: string) {
    this.#certs = certs;
  }

  /** Runs `use` with a new channel, or with `keep` with the channel of earlier rows to the same target. */
  async with<T>(
    row: Row,
    options: grpcfd.FdConnectionOptions,
    use: (channel: grpc.Channel) => Promise<T>,
  ): Promise<T> {
    const kept = row.keep === true ? this.#kept.get(row.target) : undefined;
    const channel = kept ?? this.#dial(row, options);
    if (row.keep === true) this.#kept.set(row.target, channel);
    try {
      return await use(channel);
    } finally {
      if (row.keep !== true) channel.close();
    }
  }

  close(): void {
    for (const channel of this.#kept.values()) channel.close();
    this.#kept.clear();
  }

  #dial({ target, security }: Row, options: grpcfd.FdConnectionOptions): grpc.Channel {
    const credentials = channelCredentials(security, this.#certs, options);
    // Otherwise channels with equal credentials would share a connection.
    return new grpc.Channel(target, credentials, { 'grpc.use_local_subchannel_pool': 1 });
  }
}
