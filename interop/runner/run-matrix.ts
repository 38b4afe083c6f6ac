/** Runs the rows of a matrix, and the controls before the rows that are compared with them. */
import { Lane } from './lane.js';
import { type Cell, controlKey, endangersGo, isControl, isSound, type MatrixRow } from './matrix.js';
import type { Workplace } from './toolchain.js';

/**
 * A Go process may die of chance (see `interop/go/internal/windows`). Where its control did not, it gets other chances; a row
 * in which this package sends, or Go sends little, gets none.
 */
const CHANCES = 3;

/** More lanes than processors, because rows that fail spend their time waiting. */
const LANES = 4;

export async function runMatrix(
  cells: readonly Cell[],
  workplace: Workplace,
  onRow: (row: MatrixRow) => void = () => {},
  { throughProxy = false } = {},
): Promise<MatrixRow[]> {
  const controls = new Map<string, MatrixRow>();
  const rows: MatrixRow[] = [];
  const lanes = Array.from({ length: LANES }, () => new Lane(workplace, throughProxy));
  const runAll = async (queue: Cell[]) => {
    await Promise.all(
      lanes.map(async (lane) => {
        for (let cell = queue.shift(); cell !== undefined; cell = queue.shift()) {
          const row = await runCell(lane, cell, controls.get(controlKey(cell)));
          if (isControl(cell)) controls.set(controlKey(cell), row);
          rows.push(row);
          onRow(row);
        }
      }),
    );
  };
  try {
    await runAll(cells.filter(isControl));
    await runAll(cells.filter((cell) => !isControl(cell)));
  } finally {
    await Promise.all(lanes.map((lane) => lane.close()));
  }
  return rows;
}

async function runCell(lane: Lane, cell: Cell, control: MatrixRow | undefined): Promise<MatrixRow> {
  const reasons: string[] = [];
  for (let attempts = 1; ; attempts++) {
    const { ok, reason, ms } = await lane.run(cell);
    if (reason !== undefined) reasons.push(attempts > 1 ? `attempt ${attempts}: ${reason}` : reason);
    const row: MatrixRow = {
      ...cell,
      control: control?.ok ?? ok,
      ...(control !== undefined && !control.ok ? { controlReason: control.reason ?? '' } : {}),
      ok,
      ...(reasons.length > 0 ? { reason: reasons.join('; ') } : {}),
      attempts,
      ms,
    };
    if (isSound(row) || !endangersGo(cell)) return row;
    if (attempts === CHANCES) return challengeControl(lane, row);
  }
}

/** Runs the control of a failed row as often as the row, because the control may have passed by luck. */
async function challengeControl(lane: Lane, row: MatrixRow): Promise<MatrixRow> {
  for (let attempt = 0; attempt < CHANCES; attempt++) {
    const { ok, reason } = await lane.run({ ...row, client: 'go', server: 'go' });
    if (!ok) return { ...row, control: false, controlReason: reason ?? '' };
  }
  return row;
}
