import type { CpuTime, Result } from './suite.js';

const HEADINGS = [
  'bench',
  'case',
  'metric',
  'ours',
  'theirs',
  'ratio',
  'quartiles',
  'target',
  'met',
  'wall ms',
  'CPU ms ours (client + server)',
  'theirs',
] as const;

/** A Markdown table with aligned columns. */
export function formatTable(results: readonly Result[]): string {
  const rows = [HEADINGS, ...results.map(cells)];
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => (column < 3 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join(' | ')} |`;
  const rule = `| ${widths.map((width, column) => (column < 3 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  const [head = [], ...body] = rows;
  return [line(head), rule, ...body.map(line)].join('\n');
}

function cells(result: Result): readonly string[] {
  const { ratio, low, high, target, met, wallMs, cpuMs } = result;
  return [
    result.bench,
    result.case,
    result.metric,
    formatNumber(result.ours),
    formatNumber(result.theirs),
    formatNumber(ratio),
    low === null || high === null ? '' : `${formatNumber(low)} to ${formatNumber(high)}`,
    target === null ? '' : `${target}`,
    met === null ? '' : met ? 'yes' : 'no',
    wallMs === undefined ? '' : `${formatNumber(wallMs.ours)} : ${formatNumber(wallMs.theirs)}`,
    formatCpu(cpuMs?.ours),
    formatCpu(cpuMs?.theirs),
  ];
}

function formatCpu(cpu: CpuTime | undefined): string {
  return cpu === undefined ? '' : `${formatNumber(cpu.client)} + ${formatNumber(cpu.server)}`;
}

/** Three significant digits, or the whole number. */
export function formatNumber(value: number | null): string {
  if (value === null) return '';
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}
