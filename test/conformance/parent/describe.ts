/** Findings as text. */
import type { Script } from '../script.js';
import type { Result } from './worker-process.js';

export interface Finding {
  readonly seed: number;
  readonly script: Script;
  readonly result: Result;
  readonly smallest: Script;
  readonly smallestResult: Result;
  /** Whether a fresh process finds it, too. */
  readonly repeated: boolean;
}

export function describeFinding({
  seed,
  script,
  result,
  smallest,
  smallestResult,
  repeated,
}: Finding): string {
  return [
    `seed ${seed} (${script.family}, ${script.security}): ${describeResult(result)}`,
    ...(repeated ? [] : ['A fresh process does not do it again.']),
    smallest === script ? 'The script:' : 'The smallest script that does it:',
    describeScript(smallest),
    ...(smallest === script ? [] : [`It gives: ${describeResult(smallestResult)}`]),
    `Repeat it with: npm run test:conformance -- --seed ${seed} --scripts 1`,
  ].join('\n');
}

function describeResult(result: Result): string {
  switch (result.kind) {
    case 'same':
      return 'no difference';
    case 'freeze':
      return `FREEZE: ${result.library} gives no sign of life`;
    case 'crash':
      return `CRASH: the process of ${result.library} ended with ${result.how}`;
    case 'different':
      return result.differences
        .map(({ subject, ours, stock }) =>
          [`${subject} differs`, `  ours:  ${ours}`, ...stock.map((record) => `  stock: ${record}`)].join(
            '\n',
          ),
        )
        .join('\n');
  }
}

/** A line for each step. */
function describeScript(script: Script): string {
  const lines: string[] = [];
  const list = (name: string, values: readonly unknown[]) => {
    lines.push(`  ${name}:`, ...values.map((value) => `    ${JSON.stringify(value)}`));
  };
  for (const [key, value] of Object.entries(script)) {
    if (!Array.isArray(value)) lines.push(`  ${key}: ${JSON.stringify(value)}`);
    else if (key !== 'connections') list(key, value);
    else for (const [index, steps] of value.entries()) list(`connection ${index}`, steps as unknown[]);
  }
  return lines.join('\n');
}
