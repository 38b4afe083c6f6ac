/** The figures of storms as rows of a table. */
import type { Attack } from './messages.js';
import type { Figures } from './run.js';

export const COLUMNS = [
  'storm',
  'the attackers',
  'memory',
  'open files',
  'event loop, p99 and max',
  'calls of a bystander',
  'p99 and max',
  'newcomers',
  'p99 and max',
  'failed',
  'as before after',
] as const;

export type Row = readonly string[];

const whole = (value: number): string => Math.round(value).toLocaleString('en-US');
const ms = (value: number): string => (value < 10 ? value.toFixed(1) : whole(value));
const pair = (a: number, b: number): string => `${ms(a)}, ${ms(b)} ms`;

function told({ connections, messages, descriptors, calls, others }: Attack): string {
  const parts: [number, string][] = [
    [connections, 'connections'],
    [messages, 'messages'],
    [descriptors, 'descriptors'],
    [calls, 'calls'],
    [others, 'names'],
  ];
  return parts
    .filter(([count]) => count > 0)
    .map(([count, what]) => `${whole(count)} ${what}`)
    .join(', ');
}

export function rowOf(name: string, figures: Figures): Row {
  const { attack, peakBytes, peakTable, delay, steady, newcomers, recoveredMs } = figures;
  return [
    name,
    told(attack),
    `${whole(peakBytes / 2 ** 20)} MiB`,
    whole(peakTable),
    pair(delay.p99Ms, delay.maxMs),
    whole(steady.calls),
    pair(steady.p99Ms, steady.maxMs),
    whole(newcomers.calls),
    pair(newcomers.p99Ms, newcomers.maxMs),
    `${whole(steady.failed)}, ${whole(newcomers.failed)}`,
    `${ms(recoveredMs)} ms`,
  ];
}

export function markdown(rows: readonly Row[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const rule = COLUMNS.map((_, index) => (index < 2 ? '---' : '---:'));
  return [line(COLUMNS), line(rule), ...rows.map(line)].join('\n');
}
