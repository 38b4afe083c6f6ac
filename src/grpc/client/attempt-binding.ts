import * as grpc from '@grpc/grpc-js';
import type { Connection } from '../connection.js';
import { log } from '../diagnostics.js';
import { FDS_METADATA_KEY, formatAnnouncement, formatFdsMetadata } from '../fds-metadata.js';
import {
  isEmptyCallCredentials,
  metadataInTurn,
  setMetadataAtStreamStart,
  type ValueAtStreamStart,
} from '../internals/call-metadata.js';
import { noDescriptorSupport } from '../transceiver.js';
import { Attempt } from './attempt.js';
import type { ClientCall } from './client-call.js';
import type { StreamQueue } from './stream-queue.js';

/**
 * How an attempt of a call finds the connection that carries it.
 *
 * For each attempt, grpc-js composes the credentials of the call with those of the subchannel that it has picked. Those of the
 * subchannel come from our connector (`channel-credentials.ts`), and know its connection. Those of the call are a
 * {@link CallBoundCredentials}. Its compose() makes {@link AttemptCredentials} of the two, which make the metadata of that attempt.
 */

type CallMetadataOptions = Parameters<grpc.CallCredentials['generateMetadata']>[0];

/** Knows the connection of one subchannel. */
export interface ConnectionSource {
  /** The connection that is open now. A subchannel has one at a time. */
  readonly connection: Connection | undefined;
  /** The queue of that connection. Undefined as long as it has no HTTP/2 session. */
  readonly queue: StreamQueue | undefined;
  /** How many descriptors the channel lets one call have. */
  readonly maxFdsPerCall: number;
}

interface SubchannelCredentials {
  readonly source: ConnectionSource;
  /** The call credentials of the channel itself, such as a token. */
  readonly channelCredentials: grpc.CallCredentials;
}

const BOUND = Symbol('bound to a call of this copy of grpc-js');

/** Marks the options of a call that has been bound to its FdCallCredentials. */
function bound(options: CallMetadataOptions): CallMetadataOptions {
  return Object.assign(options, { [BOUND]: true });
}

/** Whether the call that asks with these options is known here. One of another copy of grpc-js is not. */
export function isBound(options: CallMetadataOptions): boolean {
  return BOUND in options;
}

const subchannelCredentials = new WeakMap<grpc.CallCredentials, SubchannelCredentials>();

/** The call credentials of a subchannel whose connection `source` knows. Where the channel has none, they are empty ones, which cost a call nothing. */
export function callCredentialsOfSubchannel(
  source: ConnectionSource,
  channelCredentials: grpc.CallCredentials,
): grpc.CallCredentials {
  const credentials = isEmptyCallCredentials(channelCredentials)
    ? grpc.credentials.createEmpty()
    : new CombinedCallCredentials([channelCredentials]);
  subchannelCredentials.set(credentials, { source, channelCredentials });
  return credentials;
}

/**
 * Call credentials of the same subchannel for calls without FdCallCredentials, while its connection needs something of them: to wait in
 * turn for a stream, or to tell the server the id of the connection. Calls with FdCallCredentials do both anyway.
 */
export function attentiveCredentials(
  source: ConnectionSource,
  channelCredentials: grpc.CallCredentials,
): grpc.CallCredentials {
  const credentials = new AttentiveCallCredentials(source, channelCredentials);
  subchannelCredentials.set(credentials, { source, channelCredentials });
  return credentials;
}

class AttentiveCallCredentials extends grpc.CallCredentials {
  readonly #source: ConnectionSource;
  readonly #channelCredentials: grpc.CallCredentials;

  constructor(source: ConnectionSource, channelCredentials: grpc.CallCredentials) {
    super();
    this.#source = source;
    this.#channelCredentials = channelCredentials;
  }

  override generateMetadata(options: CallMetadataOptions): Promise<grpc.Metadata> {
    return metadataInTurn(this.#generate(options), (start) => {
      const { queue } = this.#source;
      if (queue?.isNeeded === true) queue.enter(start, false);
      else start();
    });
  }

  async #generate(options: CallMetadataOptions): Promise<grpc.Metadata> {
    const metadata = new grpc.Metadata();
    metadata.merge(await this.#channelCredentials.generateMetadata(options));
    if (this.#source.connection?.needsAnnouncement !== true) return metadata;
    setMetadataAtStreamStart(metadata, FDS_METADATA_KEY, () => {
      const { connection } = this.#source;
      return connection === undefined ? '' : formatAnnouncement(connection.id);
    });
    return metadata;
  }

  override compose(other: grpc.CallCredentials): grpc.CallCredentials {
    return new CombinedCallCredentials([this, other]);
  }

  override _equals(other: grpc.CallCredentials): boolean {
    return this === other;
  }
}

/** Composed call credentials, like those of grpc-js, whose class is not exported. */
export class CombinedCallCredentials extends grpc.CallCredentials {
  /** The name that the class of grpc-js gives it. */
  readonly creds: readonly grpc.CallCredentials[];

  constructor(creds: readonly grpc.CallCredentials[]) {
    super();
    this.creds = creds;
  }

  override async generateMetadata(options: CallMetadataOptions): Promise<grpc.Metadata> {
    const metadata = new grpc.Metadata();
    for (const part of await Promise.all(this.creds.map((each) => each.generateMetadata(options))))
      metadata.merge(part);
    return metadata;
  }

  override compose(other: grpc.CallCredentials): grpc.CallCredentials {
    return isEmptyCallCredentials(other) ? this : new CombinedCallCredentials([...this.creds, other]);
  }

  override _equals(other: grpc.CallCredentials): boolean {
    return (
      other instanceof CombinedCallCredentials &&
      this.creds.length === other.creds.length &&
      this.creds.every((each, index) => {
        const counterpart = other.creds[index];
        return counterpart !== undefined && each._equals(counterpart);
      })
    );
  }
}

/** The credentials of one call that has FdCallCredentials among them. */
export class CallBoundCredentials extends grpc.CallCredentials {
  readonly #credentials: grpc.CallCredentials;
  readonly #calls: readonly ClientCall[];

  constructor(credentials: grpc.CallCredentials, calls: readonly ClientCall[]) {
    super();
    this.#credentials = credentials;
    this.#calls = calls;
  }

  override generateMetadata(options: CallMetadataOptions): Promise<grpc.Metadata> {
    return this.#credentials.generateMetadata(bound(options));
  }

  override compose(other: grpc.CallCredentials): grpc.CallCredentials {
    const subchannel = subchannelCredentials.get(other);
    if (subchannel === undefined) {
      if (log.enabled) {
        log(
          'a call with descriptors got a connection without them: does its channel have grpcfd.channelCredentials()?',
        );
      }
      for (const call of this.#calls) call.unsupported(noDescriptorSupport('this process'));
      return this.#credentials.compose(other);
    }
    return new AttemptCredentials(
      this.#credentials.compose(subchannel.channelCredentials),
      this.#calls,
      subchannel.source,
    );
  }

  override _equals(other: grpc.CallCredentials): boolean {
    return this === other;
  }
}

/** The credentials of one attempt of a call. */
class AttemptCredentials extends grpc.CallCredentials {
  readonly #credentials: grpc.CallCredentials;
  readonly #calls: readonly ClientCall[];
  readonly #source: ConnectionSource;

  constructor(credentials: grpc.CallCredentials, calls: readonly ClientCall[], source: ConnectionSource) {
    super();
    this.#credentials = credentials;
    this.#calls = calls;
    this.#source = source;
  }

  override generateMetadata(options: CallMetadataOptions): Promise<grpc.Metadata> {
    return metadataInTurn(this.#generate(options), (start) => this.#waitForStream(start));
  }

  async #generate(options: CallMetadataOptions): Promise<grpc.Metadata> {
    const metadata = new grpc.Metadata();
    metadata.merge(await this.#credentials.generateMetadata(bound(options)));
    // Before 1.14.7, grpc-js makes another attempt of a call that was cancelled while its next attempt waited, and never ends its stream.
    if (this.#calls.every((call) => !call.mayHaveAttempts)) throw attemptTooLate();
    // The load is that of the whole call. A rejection becomes the status of the attempt.
    const refusal = this.#calls[0]?.load.refusalWith(this.#source.maxFdsPerCall);
    if (refusal !== undefined) {
      this.#source.connection?.callRefused(this.#calls[0]?.load.size ?? 0, 'maxFdsPerCall', refusal);
      for (const call of this.#calls) call.refuse(() => refusal);
      throw refusal;
    }
    const value = setMetadataAtStreamStart(metadata, FDS_METADATA_KEY, () => this.#bind(value));
    return metadata;
  }

  #waitForStream(start: () => void): void {
    const { queue } = this.#source;
    const turn = queue === undefined ? start() : queue.enter(start, true);
    if (turn !== undefined) for (const call of this.#calls) call.waitFor(turn);
  }

  /** Runs while the stream of the attempt starts. Descriptors that are queued here leave with its HEADERS frame, or before it. */
  #bind(value: ValueAtStreamStart): string {
    const { connection } = this.#source;
    if (connection === undefined) return '';
    const attempt = new Attempt(connection, value);
    const entries = this.#calls.flatMap((call) => call.bind(attempt));
    return formatFdsMetadata(connection.id, entries);
  }

  override compose(other: grpc.CallCredentials): grpc.CallCredentials {
    return new CombinedCallCredentials([this, other]);
  }

  override _equals(other: grpc.CallCredentials): boolean {
    return this === other;
  }
}

function attemptTooLate(): Error {
  const error = new Error('the call had ended before this attempt of it began');
  return Object.assign(error, { code: grpc.status.CANCELLED });
}
