// Exports the counters of grpcfd with OpenTelemetry. A program of yours needs this file, and an SDK that it sets up as for any other metric.
import { subscribe } from 'node:diagnostics_channel';
import { metrics } from '@opentelemetry/api';
import * as grpcfd from 'grpcfd';

/** Counters that only grow. The others in `FdStats` tell what there is now. */
const COUNTERS = {
  openedConnections: 'connections that were opened',
  refusedConnections: 'connections that were refused',
  evictedConnections: 'connections that were closed for another account',
  sentFds: 'descriptors that the kernel took',
  receivedFds: 'descriptors that came',
  takenFds: 'descriptors that receivers were given',
  closedFds: 'descriptors that were closed, and that nobody had received',
  evictedFds: 'descriptors closed at maxHeldFds',
  evictedFdsTotal: 'descriptors closed at maxHeldFdsTotal',
  evictedFdsFullTable: 'descriptors closed because the table was about full',
  expiredFds: 'descriptors closed at holdMs',
  refusedFds: 'descriptors that were refused',
  refusedCalls: 'calls that broke the rule of their method',
  losses: 'times that descriptors were lost',
} as const satisfies Partial<Record<keyof grpcfd.FdStats, string>>;

const GAUGES = {
  connections: 'connections that are open',
  undecidedConnections: 'connections that wait for authorize()',
  heldFds: 'descriptors that are held',
} as const satisfies Partial<Record<keyof grpcfd.FdStats, string>>;

/** `sentFds` is `grpcfd.sent_fds`. */
const nameOf = (counter: string): string =>
  `grpcfd.${counter.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`;

/** Call it once, when the SDK has been set up. */
export function exportMetrics(): void {
  const meter = metrics.getMeter('grpcfd');
  // These are read when the SDK collects, so they cost nothing in between.
  const counters = Object.entries(COUNTERS).map(([name, description]) => ({
    name: name as keyof typeof COUNTERS,
    instrument: meter.createObservableCounter(nameOf(name), { description }),
  }));
  const gauges = Object.entries(GAUGES).map(([name, description]) => ({
    name: name as keyof typeof GAUGES,
    instrument: meter.createObservableGauge(nameOf(name), { description }),
  }));
  meter.addBatchObservableCallback(
    (result) => {
      const now = grpcfd.stats();
      for (const { name, instrument } of [...counters, ...gauges]) result.observe(instrument, now[name]);
    },
    [...counters, ...gauges].map(({ instrument }) => instrument),
  );

  // What the counters do not tell: why. The events come only while somebody listens.
  const closed = meter.createCounter('grpcfd.closed_fds_by_reason');
  subscribe('grpcfd:fd:closed', (event) => {
    const { count, reason, connection } = event as grpcfd.FdClosedEvent;
    closed.add(count, { reason, role: connection.role });
  });
  const refused = meter.createCounter('grpcfd.refused_connections_by_reason');
  subscribe('grpcfd:connection:refused', (event) => {
    const { reason, role } = event as grpcfd.ConnectionRefusedEvent;
    refused.add(1, { reason, role });
  });
}
