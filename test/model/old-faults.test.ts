// Faults that the package had are put back. Random histories have to find each of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CredentialsTransceiver } from '#src/grpc/client/credentials-transceiver.js';
import { CallScope } from '#src/inbox/call-scope.js';
import { HeldDescriptors } from '#src/inbox/held-descriptors.js';
import type { ClaimEntry } from '#src/inbox/names.js';
import { native } from '#src/native/binding.js';
import { SOCKETS } from '#src/native/file-types.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';
import { canRefuse } from './real/pipes.js';
import { inThisProcess } from './real/surroundings.js';
import { MAX_FDS_PER_CALL } from './rules/model.js';
import { runHistories } from './run.js';
import { Tally } from './tally.js';

trackDescriptors();

const SEED = 1;
const HISTORIES = 100;
/** A pipe that is to come to its end does so earlier. */
const PATIENCE_MS = 2_000;

/** Replaces a method until the end of the test. */
function replace<T extends object, Name extends keyof T>(
  target: T,
  name: Name,
  make: (original: T[Name]) => T[Name],
): void {
  const original = target[name];
  target[name] = make(original);
  defer(() => {
    target[name] = original;
  });
}

type Held = Parameters<HeldDescriptors['handOver']>[0];

/** Credentials remember what they received by URL, and close() lets go of it, whoever else can receive it. */
function letGoOfWhatOthersCanReceive(): void {
  let last: (() => void) | undefined;
  const received = new WeakMap<object, (() => void)[]>();
  replace(HeldDescriptors.prototype, 'duplicate', (duplicate) => {
    return function (this: HeldDescriptors, held: Held, ...rest) {
      last = () => this.closeUnclaimed(held);
      return duplicate.call(this, held, ...rest);
    };
  });
  for (const method of ['recvFd', 'recvFile'] as const) {
    replace(CredentialsTransceiver.prototype, method as 'recvFd', (receive) => {
      return function (this: CredentialsTransceiver, source, options) {
        last = undefined;
        const receiving = receive.call(this, source, options);
        const all = received.get(this) ?? [];
        if (last !== undefined && String(source).startsWith('inode:')) all.push(last);
        received.set(this, all);
        return receiving;
      };
    });
  }
  replace(CredentialsTransceiver.prototype, 'close', (close) => {
    return function (this: CredentialsTransceiver) {
      close.call(this);
      for (const letGo of received.get(this) ?? []) letGo();
    };
  });
}

/** What was handed over stays open at the connection, too. */
function keepWhatWasHandedOver(): void {
  const kept: number[] = [];
  defer(() => native.closeAll(kept));
  replace(HeldDescriptors.prototype, 'handOver', (handOver) => {
    return function (this: HeldDescriptors, held) {
      kept.push(native.duplicate(held.fd));
      return handOver.call(this, held);
    };
  });
}

/** What is above the limit is not claimed, and not closed either. */
function keepWhatIsAboveTheLimit(): void {
  const counts = new WeakMap<CallScope, number>();
  replace(CallScope.prototype, 'claim', (claim) => {
    return function (this: CallScope, entries: Iterable<ClaimEntry>) {
      const before = counts.get(this) ?? 0;
      const all = [...entries];
      counts.set(this, before + all.length);
      claim.call(this, all.slice(0, Math.max(MAX_FDS_PER_CALL - before, 0)));
    };
  });
}

/** A placeholder is a socket like any other. */
function takePlaceholdersForSockets(): void {
  replace(native, 'look', (look) => (fds) => look(fds).map((each) => ({ ...each, socket: SOCKETS.UNIX })));
}

const FAULTS: [what: string, putBack: () => void, skip?: boolean][] = [
  ['close() of one call takes away what another can receive', letGoOfWhatOthersCanReceive],
  [
    'a descriptor that the kernel refused is received as the placeholder',
    takePlaceholdersForSockets,
    !canRefuse,
  ],
  ['what was received and closed is still open at the connection', keepWhatWasHandedOver],
  ['what is above maxFdsPerCall is received, or stays', keepWhatIsAboveTheLimit],
];

for (const [what, putBack, skip = false] of FAULTS) {
  test(`random histories find the old fault: ${what}`, { skip }, async (t) => {
    const { surroundings, stop } = await inThisProcess(temporaryDirectory(), 'plaintext', new Tally());
    defer(stop);
    putBack();
    const finding = await runHistories({
      seed: SEED,
      histories: HISTORIES,
      deadline: Number.POSITIVE_INFINITY,
      surroundings,
      patienceMs: PATIENCE_MS,
      shortens: false,
    });
    assert.ok(finding !== undefined);
    t.diagnostic(`history ${finding.histories}: ${finding.what}`);
  });
}
