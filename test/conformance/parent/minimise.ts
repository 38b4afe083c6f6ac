/** Takes away from a script all that a finding does not need. */
import type { Script } from '../script.js';
import type { Result } from './worker-process.js';

/** Runs a candidate in a process that is sound. */
export type Try = (script: Script) => Promise<Result>;

const BUDGET_MS = 60_000;

export async function minimise(script: Script, result: Result, attempt: Try): Promise<[Script, Result]> {
  const wanted = signature(result);
  const deadline = Date.now() + BUDGET_MS;
  let smallest: Script = script;
  let found = result;
  for (let shrunk = true; shrunk; ) {
    shrunk = false;
    for (const candidate of smaller(smallest)) {
      if (Date.now() > deadline) return [smallest, found];
      const outcome = await attempt(candidate);
      if (signature(outcome) !== wanted) continue;
      smallest = candidate;
      found = outcome;
      shrunk = true;
      break;
    }
  }
  return [smallest, found];
}

/** What makes two findings the same: whose records differ, not how. */
export function signature(result: Result): string {
  if (result.kind !== 'different') return result.kind;
  return `different: ${result.differences[0]?.subject.replaceAll(/\d+/g, 'N')}`;
}

/** Large parts are dropped first, then single steps, then properties of plans that may be absent. */
function* smaller(script: Script): Generator<Script> {
  for (const [key, value] of Object.entries(script)) {
    if (!Array.isArray(value)) continue;
    for (const shorter of shorterLists(value)) yield { ...script, [key]: shorter };
  }
}

function* shorterLists(list: readonly unknown[]): Generator<unknown[]> {
  for (let length = list.length; length >= 1; length = Math.floor(length / 2)) {
    for (let from = 0; from + length <= list.length; from += length) {
      if (length < list.length || length === 1) yield list.toSpliced(from, length);
    }
  }
  for (const [index, element] of list.entries()) {
    if (Array.isArray(element)) {
      for (const shorter of shorterLists(element)) yield list.with(index, shorter);
    } else {
      for (const simpler of simplerPlans(element)) yield list.with(index, simpler);
    }
  }
}

const OPTIONAL = ['deadlineMs', 'cancel', 'act', 'staysOpen', 'slowly', 'metadataFirst', 'deaf', 'cuts'];

function* simplerPlans(plan: unknown): Generator<unknown> {
  if (typeof plan !== 'object' || plan === null) return;
  for (const key of OPTIONAL) {
    if (!Object.hasOwn(plan, key)) continue;
    const { [key]: _dropped, ...rest } = plan as Record<string, unknown>;
    yield rest;
  }
}
