/** The page with the figures, which `--markdown` writes. */
import { arch, cpus } from 'node:os';
import { TABLE } from './run.js';
import { markdown, type Row } from './table.js';

export function pageOf(rows: readonly Row[], seconds: number): string {
  return `# Hostile peers

${markdown(rows)}

${seconds} ${arch()} ${cpus().length} ${TABLE}
`;
}
