/** `npm run test:model`: see CONTRIBUTING.md. */
import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { shareCertificates } from '../support/certificates.js';
import { type Options, readOptions } from './options.js';
import { Tally } from './tally.js';
import type { Report, Task } from './worker.js';

/** Seeds of one worker are as far from those of the next. */
const SEEDS_OF_A_WORKER = 1_000_000;
/** A process that says nothing for so long has frozen. */
const FROZEN_MS = 120_000;

const options = readOptions(process.argv.slice(2));
const directory = mkdtempSync(join(tmpdir(), 'grpcfd-'));
const tally = new Tally();
const findings: string[] = [];
const began = performance.now();
console.log(`seed ${options.seed}`);
try {
  const environment = await shareCertificates(join(directory, 'certificates.json'));
  const workers = options.repeat === undefined ? options.workers : 1;
  await Promise.all(Array.from({ length: workers }, (_, index) => work(index, options, environment)));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
const seconds = (performance.now() - began) / 1_000;
tally.count('steps a second', Math.round(tally.of('steps') / seconds));
for (const wrong of ['wrong file', 'wrong outcome', 'leak', 'closed too early', 'hang']) {
  tally.count(wrong, findings.filter((text) => text.startsWith(wrong)).length);
}
console.table(Object.fromEntries(tally.counts));
process.exitCode = findings.length === 0 ? 0 : 1;

function work(index: number, { seed, minutes, securities, repeat }: Options, environment: NodeJS.ProcessEnv) {
  const child = fork(fileURLToPath(new URL('./worker.js', import.meta.url)), {
    execArgv: ['--expose-gc'],
    serialization: 'advanced',
    env: { ...process.env, ...environment },
  });
  let last = 'it has not begun';
  let done = false;
  let timer: NodeJS.Timeout | undefined;
  const find = (text: string) => {
    findings.push(text);
    console.log(`\n${text}\n`);
  };
  const watch = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      find(`hang: a process gives no sign of life. It was at: ${last}`);
      done = true;
      child.kill('SIGKILL');
    }, FROZEN_MS);
  };
  child.on('message', (report: Report) => {
    watch();
    if (report.kind === 'begins') last = report.what;
    else if (report.kind === 'finding') find(report.text);
    else if (report.kind === 'counts') for (const [what, count] of report.counts) tally.count(what, count);
    else done = true;
  });
  const task: Task = {
    seed: seed + index * SEEDS_OF_A_WORKER,
    milliseconds: minutes * 60_000,
    securities,
    serversApart: index % 2 === 1,
    directory: join(directory, `${index}`),
    repeat,
  };
  child.send(task);
  watch();
  return new Promise<void>((resolve) => {
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      if (!done) find(`a process ended with ${signal ?? code}. It was at: ${last}`);
      resolve();
    });
  });
}
