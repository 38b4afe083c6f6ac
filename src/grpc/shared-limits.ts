import { causeText } from '../error-text.js';
import { HeldAccount, HeldTotal } from '../inbox/held-total.js';
import { tableSize } from '../socket/table-size.js';
import type { FdConnection } from './fd-transceiver.js';
import type { FdConnectionOptions } from './options.js';
import type { Peer } from './peer.js';
import { Refusal } from './refusal.js';

/** The open connections of one account. */
export class Account extends HeldAccount {
  readonly key: unknown;
  /** Oldest first. */
  readonly connections = new Set<FdConnection>();

  constructor(key: unknown) {
    super();
    this.key = key;
  }
}

/** What all connections of one credentials object share. */
export class SharedLimits {
  readonly total: HeldTotal;
  readonly #account: FdConnectionOptions['account'];
  readonly #accounts = new Map<unknown, Account>();
  #open = 0;

  constructor({ account, maxHeldFdsTotal }: FdConnectionOptions) {
    this.#account = account;
    this.total = new HeldTotal(maxHeldFdsTotal, tableSize);
  }

  /** Connections that are open. */
  get open(): number {
    return this.#open;
  }

  get accounts(): Iterable<Account> {
    return this.#accounts.values();
  }

  /** Whether several connections can have one account. */
  get hasAccounts(): boolean {
    return this.#account !== undefined;
  }

  /**
   * The account of a peer. Undefined: the connection is an account of its own, because there is no `account()`, or because the peer is not
   * known.
   *
   * @throws Refusal
   */
  accountOf(peer: Peer | undefined): Account | undefined {
    if (this.#account === undefined || peer === undefined) return undefined;
    let key: unknown;
    try {
      key = this.#account(peer);
    } catch (cause) {
      throw new Refusal('account', `account() failed: ${causeText(cause)}`, { cause });
    }
    // Each promise would be an account of its own.
    if (key instanceof Promise) {
      key.catch(() => {});
      throw new Refusal('account', 'account() gave a promise: it has to give the account at once');
    }
    return this.#accounts.get(key) ?? new Account(key);
  }

  /** The same account, as it is now: it may have lost its last connection since, or got its first one. */
  protected current(account: Account): Account {
    return this.#accounts.get(account.key) ?? account;
  }

  connectionOpened(connection: FdConnection, account: Account | undefined): void {
    this.#open++;
    if (account === undefined) return;
    if (account.connections.size === 0) {
      this.#accounts.set(account.key, account);
      this.total.add(account);
    }
    account.connections.add(connection);
  }

  connectionClosed(connection: FdConnection, account: Account | undefined): void {
    this.#open--;
    if (account === undefined) return;
    account.connections.delete(connection);
    if (account.connections.size > 0) return;
    this.#accounts.delete(account.key);
    this.total.remove(account);
  }
}
