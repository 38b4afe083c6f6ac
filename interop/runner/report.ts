/** The matrix as text. */
import { COUNTS, isControl, isSound, type MatrixRow } from './matrix.js';

/** A table with a line for each kind of call and a column for each number of fds. A cell counts the kinds of files that passed. */
export function table(rows: readonly MatrixRow[]): string {
  const lines: string[] = [];
  for (const [ends, ofEnds] of groups(rows, endsOf)) {
    lines.push('', ends.padEnd(38) + COUNTS.map((count) => String(count).padStart(8)).join(''));
    for (const [call, ofCall] of groups(ofEnds, callOf)) {
      const cells = COUNTS.map((count) => cell(ofCall.filter(({ fds }) => fds === count)).padStart(8));
      lines.push(`  ${call.padEnd(36)}${cells.join('')}`);
    }
  }
  return lines.join('\n');
}

/** The reasons why rows failed, each with the number of its rows. */
export function reasons(rows: readonly MatrixRow[]): string {
  const failed = rows.filter(({ ok }) => !ok);
  const lines: string[] = [];
  for (const [ends, ofEnds] of groups(failed, (row) => `${endsOf(row)}, ${verdict(row)}`)) {
    lines.push('', ends);
    for (const [reason, ofReason] of groups(ofEnds, ({ reason = '' }) => general(reason))) {
      lines.push(`  ${String(ofReason.length).padStart(4)} × ${reason}`);
    }
  }
  return lines.join('\n');
}

function verdict(row: MatrixRow): string {
  if (isControl(row)) return 'the control';
  return isSound(row) ? 'as the control does' : 'NOT as the control does';
}

function endsOf({ client, server }: MatrixRow): string {
  return `${client} client, ${server} server`;
}

function callOf({ security, rpc, direction }: MatrixRow): string {
  return `${security.padEnd(10)}${rpc.padEnd(14)}${direction === 'c2s' ? 'client→server' : 'server→client'}`;
}

function cell(rows: readonly MatrixRow[]): string {
  if (rows.length === 0) return '';
  const passed = `${rows.filter(({ ok }) => ok).length}/${rows.length}`;
  return rows.every(isSound) ? passed : `✗ ${passed}`;
}

/** Replaces the parts of a reason that differ from run to run. */
function general(reason: string): string {
  return reason
    .replace(/inode:\/\/\d+\/\d+/g, 'inode://…')
    .replace(/\/[^ ]*\/(\w+\.sock)/g, '…/$1')
    .replace(/Deadline exceeded.* \(/, 'Deadline exceeded (');
}

function groups<Row>(rows: readonly Row[], keyOf: (row: Row) => string): Map<string, Row[]> {
  const result = new Map<string, Row[]>();
  for (const row of rows) {
    const key = keyOf(row);
    result.set(key, [...(result.get(key) ?? []), row]);
  }
  return result;
}
