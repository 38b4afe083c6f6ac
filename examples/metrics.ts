// Exports the counters of this package with OpenTelemetry, and prints what an exporter would send. See metrics/README.md.
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { metrics } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import * as grpcfd from 'grpcfd';
import { bind, HandoverClient, newServer, shutDown, temporaryDirectory } from './handover/handover.js';
import { exportMetrics } from './metrics/export.js';

// In real life, the exporter sends to a collector: that of OTLP, or of Prometheus.
const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
const provider = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter })] });
metrics.setGlobalMeterProvider(provider);
exportMetrics();

const directory = temporaryDirectory();
const address = `unix:${join(directory, 'open.sock')}`;
const guarded = `unix:${join(directory, 'guarded.sock')}`;
const server = newServer(async (file, fds) => {
  await (await fds.recvFile(file)).close();
  return 'thanks';
});
await bind(server, address, grpcfd.serverCredentials());
await bind(server, guarded, grpcfd.serverCredentials(undefined, { authorize: () => false }));

const client = new HandoverClient(address, grpcfd.channelCredentials());
using fds = grpcfd.callCredentials();
const file = await open(import.meta.filename);
const given = fds.sendFile(file);
fds.sendFile(file); // nobody receives this one
await file.close();
await client.give({ file: given.ref }, fds.options());

const refused = new HandoverClient(guarded, grpcfd.channelCredentials());
const deadline = Date.now() + 200;
await refused.give({ file: 'none' }, { deadline }).catch(() => console.log('nobody may connect there'));
refused.close();

await provider.forceFlush();
const reported =
  exporter
    .getMetrics()
    .at(-1)
    ?.scopeMetrics.flatMap((scope) => scope.metrics) ?? [];
for (const { descriptor, dataPoints } of reported) {
  for (const { value, attributes } of dataPoints) {
    if (value === 0) continue;
    const labels = Object.values(attributes).join(', ');
    console.log(`${descriptor.name}${labels && ` (${labels})`}: ${value}`);
  }
}

client.close();
await shutDown(server);
await provider.shutdown();
