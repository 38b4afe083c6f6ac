/**
 * Checks of the options and arguments that a user gives. A wrong one fails the call that was given it, with an error that names it and
 * says what it must be. `src/socket/` has errors like those of Node.js, everything else has a GrpcFdError.
 */

import { quotePeerText } from './error-text.js';
import { GrpcFdError } from './errors.js';

/** What a value must be. */
export interface Rule {
  /** Completes the sentence "the option must be …". */
  readonly wanted: string;
  hasType(value: unknown): boolean;
  /** Is only asked for a value that has the right type. */
  isInRange(value: unknown): boolean;
}

/** A rule for each option: the compiler finds an option that has none. */
export type RulesFor<Options> = { readonly [Name in keyof Required<Options>]: Rule };

/** Makes the error for a wrong value. */
export type Complaint = (text: string, fault: 'type' | 'range') => Error;

/** `ERR_GRPCFD_INVALID_ARGUMENT` */
export const grpcComplaint: Complaint = (text) => new GrpcFdError('ERR_GRPCFD_INVALID_ARGUMENT', text);

/** A TypeError `ERR_INVALID_ARG_TYPE`, or a RangeError `ERR_OUT_OF_RANGE`. */
export const nodeComplaint: Complaint = (text, fault) =>
  fault === 'type'
    ? Object.assign(new TypeError(text), { code: 'ERR_INVALID_ARG_TYPE' })
    : Object.assign(new RangeError(text), { code: 'ERR_OUT_OF_RANGE' });

export const anObject = rule('an object', (value) => typeof value === 'object' && value !== null);
/** Not an array, a Map or what inherits: its own names are all that it has. */
export const aPlainObject = rule('a plain object', (value) => typeof value === 'object' && isPlain(value));
export const aFunction = rule('a function', (value) => typeof value === 'function');
export const aBoolean = rule('a boolean', (value) => typeof value === 'boolean');
export const aString = rule('a string', (value) => typeof value === 'string');
export const anAbortSignal = rule(
  'an AbortSignal',
  (value) => typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value,
);
/** `Infinity` switches a limit off. */
export const aLimit = rule(
  'a positive integer or Infinity',
  isNumber,
  (value) => isInteger(value, 1) || value === Number.POSITIVE_INFINITY,
);
export const aFileDescriptor = anInteger(0, 2 ** 31 - 1);

export function rule(
  wanted: string,
  hasType: (value: unknown) => boolean,
  isInRange: (value: unknown) => boolean = () => true,
): Rule {
  return { wanted, hasType, isInRange };
}

export function anInteger(min: number, max = Number.MAX_SAFE_INTEGER): Rule {
  const wanted =
    max === Number.MAX_SAFE_INTEGER ? `an integer of at least ${min}` : `an integer from ${min} to ${max}`;
  return rule(wanted, isNumber, (value) => isInteger(value, min, max));
}

/** Throws what `complaint` makes unless `value` follows `wanted`. `name` begins the text of the error. */
export function check(complaint: Complaint, name: string, value: unknown, wanted: Rule): void {
  const hasType = wanted.hasType(value);
  if (hasType && wanted.isInRange(value)) return;
  throw complaint(
    `${name} must be ${wanted.wanted}, not ${quotePeerText(value)}`,
    hasType ? 'range' : 'type',
  );
}

/** {@link check} for each option. An option that is `undefined` counts as not given. */
export function checkOptions<Options>(
  complaint: Complaint,
  options: Options,
  rules: RulesFor<Options>,
): asserts options is Options & object {
  check(complaint, 'options', options, anObject);
  for (const [name, wanted] of Object.entries<Rule>(rules)) {
    const value: unknown = options[name as keyof Options];
    if (value !== undefined) check(complaint, name, value, wanted);
  }
}

/**
 * {@link checkOptions} for gRPC, which also refuses an option that does not exist: a misspelt one would show much later, or never.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`
 */
export function checkGrpcOptions<Options>(options: Options, rules: RulesFor<Options>): void {
  checkOptions(grpcComplaint, options, rules);
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(rules, name)) continue;
    const names = Object.keys(rules).join(', ');
    throw grpcComplaint(`${quotePeerText(name)} is not an option: the options are ${names}`, 'type');
  }
}

function isPlain(value: object | null): boolean {
  if (value === null || Array.isArray(value)) return false;
  const prototype: object | null = Object.getPrototypeOf(value);
  // That of an object literal is Object.prototype, which each realm has of its own.
  return (
    prototype === null ||
    (Object.hasOwn(prototype, 'hasOwnProperty') && Object.getPrototypeOf(prototype) === null)
  );
}

function isNumber(value: unknown): boolean {
  return typeof value === 'number';
}

function isInteger(value: unknown, min: number, max = Number.MAX_SAFE_INTEGER): boolean {
  return Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max;
}
