import { constants } from 'node:fs';
import { checkGrpcOptions, type Rule, type RulesFor, rule } from '../checks.js';
import { GrpcFdError } from '../errors.js';
import { O_PATH } from '../native/binding.js';
import { type Description, FILE_KINDS, type FileKind } from '../native/file-types.js';

/**
 * What a descriptor gives access to: `read`, `write`, both (`readwrite`), or `path` where it gives neither: it was opened with O_PATH.
 * Sockets give both.
 */
export type FileAccess = 'read' | 'write' | 'readwrite' | 'path';

/** In the order of the numbers of the kernel's access modes. */
const ACCESSES: readonly FileAccess[] = ['read', 'write', 'readwrite', 'path'];

/** What a received descriptor must be. A part that is not given is not looked at. */
export interface Expectation {
  /** The kind, or one of several. */
  readonly kind?: FileKind | readonly FileKind[] | undefined;
  /** The access that it must give at least: `readwrite` is also good for `read` and for `write`. */
  readonly access?: FileAccess | undefined;
}

export function accessOf({ flags }: Description): FileAccess {
  if ((flags & O_PATH) !== 0) return 'path';
  const mode = flags & (constants.O_WRONLY | constants.O_RDWR);
  // The fourth mode of the kernel gives neither, but lets ioctl pass.
  return ACCESSES[mode] ?? 'path';
}

const aKindOrSeveral: Rule = rule(
  `one of ${FILE_KINDS.join(', ')}, or an array of them`,
  (value) => typeof value === 'string' || Array.isArray(value),
  (value) => [value].flat().every((kind) => FILE_KINDS.includes(kind as FileKind)),
);

const EXPECTATION_RULES: RulesFor<Expectation> = {
  kind: aKindOrSeveral,
  access: rule(
    `one of ${ACCESSES.join(', ')}`,
    (value) => typeof value === 'string',
    (value) => ACCESSES.includes(value as FileAccess),
  ),
};

/** @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` */
export function checkExpectation(expect: Expectation | undefined): void {
  if (expect !== undefined) checkGrpcOptions(expect, EXPECTATION_RULES);
}

/**
 * Says nothing if a file is as expected. `name` of the file, for the text.
 *
 * @throws GrpcFdError `ERR_GRPCFD_UNEXPECTED_KIND`
 */
export function assertExpected(
  name: string,
  { kind, access }: { readonly kind: FileKind; readonly access: FileAccess },
  expect: Expectation | undefined,
): void {
  if (expect === undefined) return;
  const kinds = expect.kind === undefined ? undefined : [expect.kind].flat();
  const isKind = kinds === undefined || kinds.includes(kind);
  const givesAccess =
    expect.access === undefined ||
    access === expect.access ||
    (access === 'readwrite' && expect.access !== 'path');
  if (isKind && givesAccess) return;
  const wanted = describe(kinds?.join(' or '), expect.access);
  throw new GrpcFdError(
    'ERR_GRPCFD_UNEXPECTED_KIND',
    `${name} is of ${describe(kind, access)}, but ${wanted} was expected`,
  );
}

/**
 * Says nothing if a method can do its work on a file.
 *
 * @param method "openIn()", for the text
 * @throws GrpcFdError `ERR_GRPCFD_UNEXPECTED_KIND`
 */
export function assertKind(
  { url, kind }: { readonly url: string; readonly kind: FileKind },
  needed: FileKind,
  method: string,
): void {
  if (kind === needed) return;
  const text = `${url} is of the kind ${kind}, but ${method} needs one of the kind ${needed}`;
  throw new GrpcFdError('ERR_GRPCFD_UNEXPECTED_KIND', text);
}

function describe(kind: string | undefined, access: FileAccess | undefined): string {
  const first = kind === undefined ? 'any kind' : `the kind ${kind}`;
  return access === undefined ? first : `${first} with the access ${access}`;
}
