/** `grpcfd doctor` */
import { usage } from '../failure.js';
import { toLongJson } from '../json.js';
import { parse, socketPath } from '../parse.js';
import { styleOf } from '../terminal.js';
import { examineAddress } from './address.js';
import type { Finding } from './finding.js';
import { examineMachine } from './machine.js';

const OPTIONS = { json: { type: 'boolean', default: false } } as const;

/** For a finding that is a problem. */
const SICK = 1;

export async function doctor(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse('doctor', args, OPTIONS);
  if (positionals.length > 1) throw usage('doctor takes one address at most');
  const [address] = positionals;
  const path = address === undefined ? undefined : socketPath(address);
  const findings = await examineMachine();
  if (address !== undefined && path !== undefined) findings.push(...(await examineAddress(address, path)));
  if (values.json) console.log(toLongJson({ findings }));
  else print(findings);
  return findings.some(({ state }) => state === 'problem') ? SICK : 0;
}

function print(findings: readonly Finding[]): void {
  const style = styleOf(process.stdout);
  const marks = { ok: style.green('ok     '), note: style.yellow('note   '), problem: style.red('PROBLEM') };
  const width = Math.max(...findings.map(({ subject }) => subject.length));
  const indent = ' '.repeat(width + 11);
  for (const { subject, state, text, todo } of findings) {
    console.log(
      `${marks[state]}  ${style.bold(subject.padEnd(width))}  ${text.replaceAll('\n', `\n${indent}`)}`,
    );
    if (todo !== undefined) console.log(`${indent}→ ${todo}`);
  }
}
