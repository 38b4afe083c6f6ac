/** The sums of a soak: each that is wrong is found. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stats } from 'grpcfd';
import { type Audited, audit } from './audit.js';
import type { OwnCounts, PeerCounts, Report } from './messages.js';

const NONE: PeerCounts = { connections: 1, endedEarly: 0, sent: 0, received: 0, taken: 0, closed: 0 };

/** The client has sent 7 descriptors, of which the server has received 5, and 3 came back. */
function twoProcesses(): { client: Audited; server: Audited } {
  const report = (
    own: Partial<OwnCounts>,
    counts: Partial<Report['stats']>,
    closedFor: Report['closedFor'],
  ) => ({
    kind: 'finished' as const,
    counts: {},
    own: { given: 0, sent: 0, notSent: {}, right: 0, wrong: 0, unchecked: {}, notReceived: {}, ...own },
    stats: { ...stats(), ...counts },
    closedFor,
    peers: {} as Record<string, PeerCounts>,
    problems: [],
  });
  const client = report(
    { given: 9, sent: 7, notSent: { CALL_ENDED: 2 }, right: 3 },
    { sentFds: 7, receivedFds: 3, takenFds: 3 },
    {},
  );
  const server = report(
    { given: 3, sent: 3, right: 4, unchecked: { ABORTED: 1 } },
    { sentFds: 3, receivedFds: 7, takenFds: 5, closedFds: 2 },
    { 'call ended': 2 },
  );
  client.peers['two'] = { ...NONE, sent: 7, received: 3, taken: 3 };
  server.peers['one'] = { ...NONE, sent: 3, received: 7, taken: 5, closed: 2 };
  return {
    client: { name: 'client', id: 'one', report: client },
    server: { name: 'server', id: 'two', report: server },
  };
}

function problemsAfter(change: (both: { client: Audited; server: Audited }) => void): string[] {
  const both = twoProcesses();
  change(both);
  return audit([both.client, both.server]).problems.map(({ text }) => text);
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

function set<T, Key extends keyof T>(object: T | undefined, key: Key, value: T[Key]): void {
  assert.ok(object !== undefined);
  (object as Writable<T>)[key] = value;
}

test('sums that are right give a row for each direction, and no problem', () => {
  const { client, server } = twoProcesses();
  const { pairs, problems } = audit([client, server]);
  assert.deepEqual(problems, []);
  assert.deepEqual(pairs, [
    { from: 'client', to: 'server', connections: 1, sent: 7, received: 7, taken: 5, closed: 2, unread: 0 },
    { from: 'server', to: 'client', connections: 1, sent: 3, received: 3, taken: 3, closed: 0, unread: 0 },
  ]);
});

const FAULTS: Record<string, [change: Parameters<typeof problemsAfter>[0], problem: RegExp]> = {
  'a descriptor that vanished between two processes': [
    ({ client }) => {
      set(client.report.peers['two'], 'sent', 8);
      set(client.report.stats, 'sentFds', 8);
    },
    /^client sent 8 descriptors to server, which received 7$/,
  ],
  'a descriptor that the receiver made up, though its connection has ended meanwhile': [
    ({ client }) => {
      set(client.report.peers['two'], 'sent', 6);
      set(client.report.peers['two'], 'endedEarly', 1);
      set(client.report.stats, 'sentFds', 7);
    },
    /^client sent 6 descriptors to server, which received 7$/,
  ],
  'a descriptor that was neither taken nor closed': [
    ({ server }) => set(server.report.stats, 'takenFds', 4),
    /^server: descriptors received, taken and closed: 7, not 6$/,
  ],
  'a descriptor that was taken, and that nobody has looked at': [
    ({ server }) => set(server.report.own, 'right', 3),
    /^server: descriptors taken, and looked at: 5, not 4$/,
  ],
  'a descriptor that was given, and of which nothing became': [
    ({ client }) => set(client.report.own, 'given', 10),
    /^client: descriptors given, sent and not sent: 10, not 9$/,
  ],
  'a descriptor that was reported as sent, and was not': [
    ({ client }) => {
      set(client.report.own, 'sent', 8);
      set(client.report.own, 'given', 10);
    },
    /^client: 8 descriptors were reported as sent, and the kernel took 7$/,
  ],
  'a descriptor that is held at the end': [
    ({ server }) => set(server.report.stats, 'heldFds', 1),
    /^server: descriptors held at the end: 1, not 0$/,
  ],
  'a connection that is open at the end': [
    ({ server }) => set(server.report.stats, 'connections', 1),
    /^server: connections at the end: 1, not 0$/,
  ],
  'descriptors that the kernel dropped': [
    ({ server }) => set(server.report.stats, 'losses', 1),
    /^server: descriptors lost: 1, not 0$/,
  ],
};

for (const [what, [change, problem]] of Object.entries(FAULTS)) {
  test(`${what} is a miscount`, () => {
    assert.ok(
      problemsAfter(change).some((text) => problem.test(text)),
      String(problemsAfter(change)),
    );
  });
}

test('what was sent on a connection that ended meanwhile may be unread', () => {
  const { client, server } = twoProcesses();
  set(client.report.peers['two'], 'sent', 9);
  set(client.report.peers['two'], 'endedEarly', 1);
  set(client.report.stats, 'sentFds', 9);
  const { pairs, problems } = audit([client, server]);
  assert.deepEqual(problems, []);
  assert.equal(pairs[0]?.unread, 2);
});
