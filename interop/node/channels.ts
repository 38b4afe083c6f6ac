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

  /** Runs `use` with a channel of the row's own, or with `keep` the one that earlier rows to the same target had. */
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
  }

  #dial({ target, security }: Row, options: grpcfd.FdConnectionOptions): grpc.Channel {
    const credentials = channelCredentials(security, this.#certs, options);
    // Else channels with equal credentials share a connection.
    return new grpc.Channel(target, credentials, { 'grpc.use_local_subchannel_pool': 1 });
  }
}
