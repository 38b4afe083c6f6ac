/** The table of outcomes: a row for each system call, a column for each error. */
import { ERRORS, type Row } from './matrix.js';
import { WORKS } from './plan.js';

/** The outcomes of one cell, the most frequent first. */
function cellOf(rows: readonly Row[]): string {
  if (rows.length === 0) return '';
  const counts = new Map<string, number>();
  for (const { outcome } of rows) {
    const [text = ''] = outcome.split('\n');
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return [...counts]
    .sort(([a, one], [b, other]) => Number(b === WORKS) - Number(a === WORKS) || other - one)
    .map(([outcome]) => outcome)
    .join('; ');
}

function cells(rows: readonly Row[]): string[][] {
  const names = [...new Set(rows.map(({ syscall }) => syscall))].sort();
  return names.map((name) => {
    const ofCall = rows.filter(({ syscall }) => syscall === name);
    const places = new Set(ofCall.map(({ scenario, call }) => `${scenario} ${call}`)).size;
    return [
      name,
      String(places),
      ...ERRORS.map((wanted) => cellOf(ofCall.filter(({ error }) => error === wanted))),
    ];
  });
}

export function tableOf(rows: readonly Row[]): string {
  return cells(rows)
    .map(([name = '', places = '', ...outcomes]) => {
      const byOutcome = new Map<string, string[]>();
      outcomes.forEach((outcome, index) => {
        if (outcome !== '') byOutcome.set(outcome, [...(byOutcome.get(outcome) ?? []), ERRORS[index] ?? '']);
      });
      const lines = [...byOutcome].map(([outcome, errors]) => `  ${errors.join(' ')}: ${outcome}`);
      return [`${name}, ${places} calls`, ...lines].join('\n');
    })
    .join('\n');
}

const BEGIN = '<!-- npm run test:faults writes this -->';
const END = '<!-- until here -->';

/** The page with another table. */
export function intoPage(page: string, table: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`the page has no ${BEGIN} … ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${table}\n${page.slice(end)}`;
}

/** The rows of the table in docs/faults.md. */
export function markdownOf(rows: readonly Row[]): string {
  const head = ['system call', 'calls', ...ERRORS];
  const lines = [head, head.map(() => '---'), ...cells(rows)];
  return `${lines.map((line) => `| ${line.join(' | ')} |`).join('\n')}\n`;
}
