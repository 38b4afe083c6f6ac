/** What the server process and the client process of a storm have in common: how they talk to their parent. */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import { type DescriptorTable, descriptorTable } from '../../support/fd-table.js';
import { type Transport, wrapChannel, wrapServer } from '../library.js';
import type { Storm } from '../parent/options.js';

export type Figures = Record<string, number>;

/** What the parent asks for, in this order. */
export type Order =
  /** Stop what the storm is about, and keep the connections. */
  | 'calm'
  /** Close all. */
  | 'close';

export interface Message {
  /** `alive` comes all the time; one that does not is a freeze. */
  readonly kind: 'alive' | 'ready' | Order;
  readonly figures: Figures;
  /** What must not be, in words. */
  readonly problems: readonly string[];
}

const BEAT_MS = 250;
/** Much is closed in later turns, and some after a deadline. */
const DESCRIPTOR_PATIENCE_MS = 5_000;

const [, , storm, security, directory = '.'] = process.argv;

export const task = {
  storm: storm as Storm,
  security: security as Transport,
  address: `unix:${directory}/storm.sock`,
};

export class StormChild {
  readonly figures: Figures = {};
  readonly #problems: string[] = [];

  constructor(orders: Record<Order, () => Promise<void>>) {
    setInterval(() => this.#send('alive'), BEAT_MS).unref();
    process.on('message', async (order: Order) => {
      await orders[order]();
      this.#send(order);
    });
  }

  ready(): void {
    this.#send('ready');
  }

  count(figure: string): void {
    this.figures[figure] = (this.figures[figure] ?? 0) + 1;
  }

  complain(problem: string): void {
    this.#problems.push(problem);
  }

  /** Complains of descriptors that are not in `before`, but for so many sockets, once they had the time to go. */
  async compareDescriptors(when: string, before: DescriptorTable, sockets = 0): Promise<void> {
    const deadline = Date.now() + DESCRIPTOR_PATIENCE_MS;
    let added = addedTo(before, sockets);
    while (added.length > 0 && Date.now() < deadline) {
      await delay(10);
      added = addedTo(before, sockets);
    }
    this.figures[`descriptors ${when}`] = descriptorTable().size;
    if (added.length > 0)
      this.complain(`descriptors ${when} that were not there before: ${added.join(', ')}`);
  }

  #send(kind: Message['kind']): void {
    process.send?.({ kind, figures: this.figures, problems: this.#problems } satisfies Message);
  }
}

/** What the descriptors refer to that are not in `before`. */
function addedTo(before: DescriptorTable, sockets: number): string[] {
  const added = [...descriptorTable()].filter(([fd, target]) => before.get(fd) !== target);
  const targets = added.map(([, target]) => target).sort();
  let allowed = sockets;
  // Connections of ours share an epoll set, which goes with the last of them.
  const isOfConnections = (target: string) => sockets > 0 && target === 'anon_inode:[eventpoll]';
  return targets.filter(
    (target) => !isOfConnections(target) && !(target.startsWith('socket:') && allowed-- > 0),
  );
}

export function stormChannelCredentials(): grpc.ChannelCredentials {
  if (task.security === 'plaintext') return wrapChannel('ours', grpc.credentials.createInsecure());
  return wrapChannel('ours', grpc.credentials.createSsl(certificate()));
}

export function stormServerCredentials(): grpc.ServerCredentials {
  if (task.security === 'plaintext') return wrapServer('ours', grpc.ServerCredentials.createInsecure());
  const pair = { cert_chain: certificate(), private_key: readFileSync(`${directory}/key.pem`) };
  return wrapServer('ours', grpc.ServerCredentials.createSsl(null, [pair]));
}

function certificate(): Buffer {
  return readFileSync(`${directory}/cert.pem`);
}
