/**
 * The targets, as ratios; larger is better. Keys are `bench: case`; a case without a key is reported for
 * information only.
 */
const TARGETS: Readonly<Record<string, number>> = {
  ...overhead('plain', { throughput: 1, latency: 0.95, echo: 0.85, messages: 0.88 }),
  ...overhead('TLS', { throughput: 0.88, latency: 0.88, echo: 0.88, messages: 0.88 }),
  'handoff: 1 fd to the server, against no fd': 0.9,
  'handoff: 1 fd to the client, against no fd': 0.9,
  'handoff: 64 fds to the server, against Go': 1.3,
  'handoff: 64 fds to the client, against Go': 1.3,
  'handoff: 256 fds to the server, against Go': 2,
  'handoff: 256 fds to the client, against Go': 2,
  'limit: 1 fd to a message': 0.65,
  'limit: 64 fds to a message': 0.75,
  'payload: 1 GiB, every page': 20,
  'payload: 1 GiB, any byte': 1000,
  'scale: a call at 2,000 connections and 10,000 held fds': 0.9,
  // Without any CPU time, both sides count as the smallest time that is measured, so the ratio is 1.
  'scale: 1,000 idle connections': 1,
  'start: connect to first reply': 0.9,
  'start: import on top of grpc-js, against its limit': 1,
};

export function targetOf(bench: string, name: string): number | null {
  return TARGETS[`${bench}: ${name}`] ?? null;
}

function overhead(
  security: string,
  must: { throughput: number; latency: number; echo: number; messages: number },
): Record<string, number> {
  const targets: Record<string, number> = {};
  for (const window of ['64 KiB', '4 MiB']) {
    const at = (workload: string) => `overhead: ${workload}, ${security}, ${window} window`;
    targets[at('unary, 1 at a time')] = must.latency;
    targets[at('unary, 64 at a time')] = must.throughput;
    targets[at('1 MiB echo')] = must.echo;
    targets[at('64 KiB messages down')] = targets[at('64 KiB messages up')] = must.messages;
  }
  return targets;
}
