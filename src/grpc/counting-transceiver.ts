import type { GrpcFdError } from '../errors.js';
import type { CloseReason, InboxWatcher } from '../inbox/inbox-watcher.js';
import {
  type FdRefusalReason,
  fdClosed,
  fdLost,
  fdReceived,
  fdRefused,
  fdSent,
  fdTaken,
  log,
  publish,
} from './diagnostics.js';
import type { FdConnection, FdConnectionStats } from './fd-transceiver.js';
import type { SendCounter } from './outgoing.js';
import { totals } from './totals.js';
import { Transceiver } from './transceiver.js';

/** The counters of a connection that neither its stream nor its inbox keeps, those of the process, and the events. */
export abstract class CountingTransceiver extends Transceiver implements InboxWatcher, SendCounter {
  #takenFds = 0;
  #closedFds = 0;
  #evictedFdsTotal = 0;
  #evictedFdsFullTable = 0;
  #refusedFds = 0;
  #refusedCalls = 0;
  #refusedReceives = 0;
  #losses = 0;

  abstract readonly id: string;
  abstract readonly role: 'client' | 'server';
  /** What the users know. */
  protected abstract get self(): FdConnection;

  protected ownStats(): Pick<
    FdConnectionStats,
    | 'takenFds'
    | 'closedFds'
    | 'evictedFdsTotal'
    | 'evictedFdsFullTable'
    | 'refusedFds'
    | 'refusedCalls'
    | 'refusedReceives'
    | 'losses'
  > {
    return {
      takenFds: this.#takenFds,
      closedFds: this.#closedFds,
      evictedFdsTotal: this.#evictedFdsTotal,
      evictedFdsFullTable: this.#evictedFdsFullTable,
      refusedFds: this.#refusedFds,
      refusedCalls: this.#refusedCalls,
      refusedReceives: this.#refusedReceives,
      losses: this.#losses,
    };
  }

  fdsTaken(count: number): void {
    this.#takenFds += count;
    totals.takenFds += count;
    if (fdTaken.hasSubscribers) publish(fdTaken, { connection: this.self, count });
  }

  fdsClosed(count: number, reason: CloseReason): void {
    this.#closedFds += count;
    totals.closedFds += count;
    if (reason === 'maxHeldFds') totals.evictedFds += count;
    else if (reason === 'holdMs') totals.expiredFds += count;
    else if (reason === 'superseded') totals.supersededFds += count;
    else if (reason === 'maxHeldFdsTotal') {
      this.#evictedFdsTotal += count;
      totals.evictedFdsTotal += count;
    } else if (reason === 'table full') {
      this.#evictedFdsFullTable += count;
      totals.evictedFdsFullTable += count;
    }
    if (fdClosed.hasSubscribers) publish(fdClosed, { connection: this.self, count, reason });
    if (log.enabled) this.log(`${count} descriptors that nobody had received were closed: ${reason}`);
  }

  receiveRefused(): void {
    this.#refusedReceives++;
    totals.refusedReceives++;
    this.#tellRefused(1, 'maxPendingReceives', undefined);
  }

  countSent(): void {
    totals.sentFds++;
    if (fdSent.hasSubscribers) publish(fdSent, { connection: this.self, count: 1 });
  }

  countRefused(error: Error): void {
    this.#refusedFds++;
    totals.refusedFds++;
    this.#tellRefused(1, 'kernel', error);
  }

  protected fdsReceived(count: number): void {
    totals.receivedFds += count;
    if (fdReceived.hasSubscribers) publish(fdReceived, { connection: this.self, count });
    if (log.enabled) this.log(`${count} descriptors came`);
  }

  /** They have been closed: this connection accepts none. */
  protected fdsNotAccepted(count: number): void {
    this.#refusedFds += count;
    totals.refusedFds += count;
    this.#tellRefused(count, 'acceptFds', undefined);
  }

  protected fdsLost(error: GrpcFdError): void {
    this.#losses++;
    totals.losses++;
    if (fdLost.hasSubscribers) publish(fdLost, { connection: this.self, error });
    if (log.enabled) this.log(`descriptors were lost: ${error.details}`);
  }

  /** A call was refused that `count` descriptors had come with, or were attached to. */
  callRefused(count: number, reason: 'methods' | 'maxFdsPerCall', error: GrpcFdError): void {
    this.#refusedCalls++;
    totals.refusedCalls++;
    this.#tellRefused(count, reason, error);
  }

  /** `text` is only made where {@link log} is enabled. */
  protected log(text: string): void {
    log('%s, connection %s: %s', this.role, this.id, text);
  }

  #tellRefused(count: number, reason: FdRefusalReason, error: Error | undefined): void {
    if (fdRefused.hasSubscribers) publish(fdRefused, { connection: this.self, count, reason, error });
    if (log.enabled) this.log(`refused (${reason}), ${count}: ${error?.message ?? ''}`);
  }
}
