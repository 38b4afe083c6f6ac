/** Runs one row in a Node client. */
import * as grpc from '@grpc/grpc-js';
import type * as grpcfd from 'grpcfd';
import { type CallParameters, receivingCall, reply, SendingCall } from './call.js';
import type { Channels } from './channels.js';
import { check, Sending } from './handover.js';
import type { MemfdMaker } from './memfd.js';
import {
  clientOf,
  type ExchangeClient,
  exchangeService,
  type HealthClient,
  type HealthReply,
  healthService,
} from './protocol.js';
import type { Row } from './row.js';
import { type Sample, SampleSet } from './samples.js';
import { callCredentials } from './security.js';

/** How much longer a call may take than its files. */
const CALL_GRACE_MS = 3000;

export class RowRunner {
  readonly #channels: Channels;
  readonly #memfds: MemfdMaker;

  constructor(channels: Channels, memfds: MemfdMaker) {
    this.#channels = channels;
    this.#memfds = memfds;
  }

  /** Rejects with the reason why the row failed. */
  async run(row: Row): Promise<void> {
    if (row.op === 'close') return this.#channels.close();
    if (row.op === 'health') return this.#channels.with(row, {}, (channel) => checkHealth(row, channel));
    const set = await SampleSet.create(this.#memfds);
    try {
      const samples = row.direction === 'c2s' ? await makeSamples(set, row) : [];
      await (row.op === 'preface' ? this.#preface(row, samples) : this.#exchange(row, samples));
    } finally {
      await set.close();
    }
  }

  /** Each call has its own credentials, as in a user's program. All calls send the same files. */
  #exchange(row: Row, samples: readonly Sample[]): Promise<void> {
    return this.#channels.with(row, {}, async (channel) => {
      if (row.warm === true) await checkHealth(row, channel);
      for (let time = 0; time < (row.times ?? 1); time++) await exchange(row, channel, samples);
    });
  }

  /** Sends the files before the preface of the connection, and then makes the call that names them. */
  #preface(row: Row, samples: readonly Sample[]): Promise<void> {
    const onConnection = (connection: grpcfd.FdConnection) => {
      const sending = new Sending(connection);
      for (const sample of samples) sending.send(sample);
    };
    return this.#channels.with(row, { onConnection }, (channel) => exchange(row, channel, samples, false));
  }
}

async function exchange(
  row: Row,
  channel: grpc.Channel,
  samples: readonly Sample[],
  send = true,
): Promise<void> {
  const { rpc = 'unary', kind = 'REGULAR', fds = 1 } = row;
  using credentials = callCredentials(row.security);
  const parameters: CallParameters = {
    client: clientOf<ExchangeClient>(exchangeService, channel),
    credentials,
    deadline: deadlineOf(row),
    receiveMs: row.receiveMs,
    // A kept channel may have to connect again, because its server may have restarted since the row before.
    metadata: new grpc.Metadata({ waitForReady: row.keep === true }),
  };
  if (row.direction === 's2c') return check(await receivingCall(parameters, rpc, kind, fds), fds);
  const call = new SendingCall(parameters, samples, send);
  try {
    check(await call.run(rpc), fds);
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : error} (${call.sending})`, { cause: error });
  }
}

async function checkHealth(row: Row, channel: grpc.Channel): Promise<void> {
  const client = clientOf<HealthClient>(healthService, channel);
  using credentials = callCredentials(row.security);
  const options = credentials.options({ deadline: deadlineOf(row) });
  const { status } = await reply<HealthReply>((callback) => client.check({ service: '' }, options, callback));
  if (status !== 'SERVING') throw new Error(`the server is ${status}`);
}

function makeSamples(set: SampleSet, { kind = 'REGULAR', fds = 1 }: Row): Promise<Sample[]> {
  return Promise.all(Array.from({ length: fds }, () => set.make(kind)));
}

function deadlineOf({ receiveMs, deadlineMs = receiveMs + CALL_GRACE_MS }: Row): Date {
  return new Date(Date.now() + deadlineMs);
}
