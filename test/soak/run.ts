/** Runs the groups of processes of a soak side by side, and adds up what they did. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findGo, prepare, type Workplace } from '../../interop/runner/toolchain.js';
import { shareCertificates } from '../support/certificates.js';
import { type Audit, audit } from './audit.js';
import type { Cell, CellOptions } from './cell.js';
import { GoClientsCell, GoServerCell } from './go-cells.js';
import type { Plant, Problem } from './messages.js';
import { RestartedCell, SteadyCell } from './node-cells.js';
import type { Party } from './party.js';

const HANG_MS = 20_000;
const SAMPLE_MS = 500;
/** Seeds of one cell are as far from those of the next. */
const SEEDS_OF_A_CELL = 10_000_000;

export interface SoakTask {
  readonly minutes: number;
  readonly seed: number;
  readonly only: readonly string[];
  readonly plants?: readonly Plant[];
  readonly hangMs?: number;
}

export interface Outcome extends Audit {
  readonly cells: readonly Cell[];
  readonly parties: readonly Party[];
  readonly problems: readonly Problem[];
  readonly seconds: number;
  /** Why there are no Go peers, if there are none. */
  readonly withoutGo: string | undefined;
}

type Kind = {
  readonly name: string;
  readonly needsGo?: true;
  make(options: CellOptions, workplace: Workplace): Cell;
} & Pick<CellOptions['task'], 'security' | 'grpcOptions' | 'mayBreak'>;

const KEEPALIVE = { 'grpc.keepalive_time_ms': 1_000, 'grpc.keepalive_permit_without_calls': 1 };

/** Server and client take the options that concern them. */
const KINDS: readonly Kind[] = [
  {
    name: 'steady, plaintext',
    security: 'plaintext',
    grpcOptions: KEEPALIVE,
    mayBreak: false,
    make: (options) => new SteadyCell(options),
  },
  {
    name: 'steady, TLS, connections end by age and by idleness',
    security: 'TLS',
    grpcOptions: {
      'grpc.max_connection_age_ms': 12_000,
      'grpc.client_idle_timeout_ms': 1_000,
      'grpc.max_concurrent_streams': 4,
    },
    mayBreak: false,
    make: (options) => new SteadyCell(options),
  },
  {
    name: 'restarted, plaintext',
    security: 'plaintext',
    grpcOptions: { 'grpc.client_idle_timeout_ms': 1_000 },
    mayBreak: true,
    make: (options) => new RestartedCell(options),
  },
  {
    name: 'restarted, TLS',
    security: 'TLS',
    grpcOptions: KEEPALIVE,
    mayBreak: true,
    make: (options) => new RestartedCell(options),
  },
  {
    name: 'Go clients',
    needsGo: true,
    security: 'plaintext',
    grpcOptions: {},
    mayBreak: false,
    make: (options, workplace) => new GoClientsCell(options, workplace),
  },
  {
    name: 'Go server',
    needsGo: true,
    security: 'plaintext',
    grpcOptions: {},
    mayBreak: true,
    make: (options, workplace) => new GoServerCell(options, workplace),
  },
];

export async function runSoak(task: SoakTask, onSample: (cells: readonly Cell[]) => void): Promise<Outcome> {
  const directory = mkdtempSync(join(tmpdir(), 'grpcfd-'));
  const wanted = KINDS.filter(
    ({ name }) => task.only.length === 0 || task.only.some((part) => name.includes(part)),
  );
  const go = wanted.some(({ needsGo }) => needsGo) ? await findGo() : { missing: 'not asked for' };
  const workplace = 'missing' in go ? undefined : await prepare();
  const cells: Cell[] = [];
  const problems: Problem[] = [];
  const began = performance.now();
  try {
    // What a killed process leaves behind goes with the directory.
    const shared = await shareCertificates(join(directory, 'certificates.json'));
    const environment = { ...shared, TMPDIR: directory };
    for (const kind of wanted) {
      if (kind.needsGo && workplace === undefined) continue;
      cells.push(makeCell(kind, task, join(directory, `${cells.length}`), environment, workplace));
    }
    await runCells(cells, task.minutes * 60_000, onSample);
  } catch (error) {
    problems.push({ fault: 'hang', text: (error as Error).message });
    for (const cell of cells) cell.kill();
  } finally {
    rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
    await workplace?.[Symbol.asyncDispose]();
  }
  const parties = cells.flatMap((cell) => cell.parties);
  const finished = parties.flatMap(({ name, id, fate, report }) =>
    report !== undefined && fate === 'finished' ? [{ name, id, report }] : [],
  );
  const silent = parties.filter(({ id }) => !finished.some((process) => process.id === id));
  const audited = audit(finished, new Map(silent.map(({ id, name }) => [id, name])));
  problems.push(
    ...cells.flatMap((cell) => cell.problems),
    ...parties.flatMap(({ name, report }) =>
      (report?.problems ?? []).map(({ fault, text }) => ({ fault, text: `${name}: ${text}` })),
    ),
    ...audited.problems,
  );
  return {
    cells,
    parties,
    pairs: audited.pairs,
    oneSided: audited.oneSided,
    problems,
    seconds: (performance.now() - began) / 1_000,
    withoutGo: workplace === undefined && 'missing' in go ? go.missing : undefined,
  };
}

function makeCell(
  kind: Kind,
  { seed, plants = [], hangMs = HANG_MS }: SoakTask,
  directory: string,
  environment: NodeJS.ProcessEnv,
  workplace: Workplace | undefined,
): Cell {
  mkdirSync(directory);
  const { name, security, grpcOptions, mayBreak } = kind;
  const go = workplace === undefined ? {} : { certs: workplace.certs, bin: workplace.bin };
  const options: CellOptions = {
    name,
    // The same for a cell whichever others run.
    seed: seed + SEEDS_OF_A_CELL * KINDS.indexOf(kind),
    directory,
    environment,
    task: { security, grpcOptions, mayBreak, plants, hangMs, ...go },
  };
  return kind.make(options, workplace as Workplace);
}

async function runCells(
  cells: readonly Cell[],
  ms: number,
  onSample: (cells: readonly Cell[]) => void,
): Promise<void> {
  const sampler = setInterval(() => {
    for (const cell of cells) cell.sample();
    onSample(cells);
  }, SAMPLE_MS);
  try {
    await Promise.all(cells.map((cell) => cell.start()));
    const over = delay(ms);
    await Promise.all(cells.map((cell) => cell.run(over)));
  } finally {
    clearInterval(sampler);
  }
}
