import {
  aPlainObject,
  check,
  checkGrpcOptions,
  grpcComplaint,
  type Rule,
  type RulesFor,
  rule,
} from '../checks.js';
import { checkExpectation } from '../descriptor/file-kind.js';
import { lookAt } from '../descriptor/file-look.js';
import { GrpcFdError } from '../errors.js';
import type { FileKind } from '../native/file-types.js';

/** What the calls of one method may bring. */
export interface MethodRule {
  /**
   * Descriptors that one call may bring: those that were attached to it, and those that its handler receives besides. 0 is for a method
   * that takes none. Default: `maxFdsPerCall`. `Infinity` does not raise that.
   */
  readonly maxFds?: number | undefined;
  /** The kinds of files that a call may bring: see {@link FileKind}. Default: all kinds. */
  readonly kinds?: FileKind | readonly FileKind[] | undefined;
}

const aCount: Rule = rule(
  'an integer of at least 0, or Infinity',
  (value) => typeof value === 'number',
  (value) => (Number.isSafeInteger(value) && Number(value) >= 0) || value === Number.POSITIVE_INFINITY,
);

const aPath: Rule = rule(
  "a path such as '/pkg.Service/Method'",
  (value) => typeof value === 'string',
  (value) => /^\/[^/]+\/[^/]+$/.test(String(value)),
);

/** `kinds` has a check of its own. */
const METHOD_RULES: RulesFor<MethodRule> = { maxFds: aCount, kinds: rule('', () => true) };

/** @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` */
export function checkMethodRules(methods: Readonly<Record<string, MethodRule>> | undefined): void {
  for (const [path, each] of Object.entries(methods ?? {})) {
    check(grpcComplaint, 'a key of methods', path, aPath);
    check(grpcComplaint, `the rule of ${path}`, each, aPlainObject);
    checkGrpcOptions(each, METHOD_RULES);
    if (Array.isArray(each.kinds) && each.kinds.length === 0) throw noKinds(path);
    checkExpectation(each.kinds === undefined ? undefined : { kind: each.kinds });
  }
}

function noKinds(path: string): Error {
  return grpcComplaint(`the kinds of ${path} are none: maxFds: 0 refuses all descriptors`, 'range');
}

/** The rule of one method, as one of its calls keeps it. */
export class MethodGuard {
  readonly #path: string;
  readonly #maxFds: number;
  readonly #kinds: readonly FileKind[] | undefined;
  #attached = 0;
  /** Names of what the handler has received besides. */
  #others: Set<string> | undefined;

  constructor(path: string, { maxFds = Number.POSITIVE_INFINITY, kinds }: MethodRule) {
    this.#path = path;
    this.#maxFds = maxFds;
    this.#kinds = kinds === undefined ? undefined : [kinds].flat();
  }

  /** @throws GrpcFdError `ERR_GRPCFD_TOO_MANY_DESCRIPTORS` if so many may not be attached to the call */
  attach(count: number): void {
    this.#attached = count;
    if (count > this.#maxFds) throw this.#tooMany(`${count} came with the call`);
  }

  /** @throws GrpcFdError `ERR_GRPCFD_TOO_MANY_DESCRIPTORS` if a descriptor of that name would be one too many */
  assertRoomFor(name: string): void {
    if (this.#others?.has(name)) return;
    const count = this.#attached + (this.#others?.size ?? 0) + 1;
    if (count > this.#maxFds) throw this.#tooMany(`this would be number ${count} of the call`);
  }

  /**
   * Looks at a descriptor, which stays the caller's.
   *
   * @throws GrpcFdError `ERR_GRPCFD_UNEXPECTED_KIND`, `ERR_GRPCFD_RECEIVE_FAILED`
   */
  assertKind(fd: number): void {
    if (this.#kinds === undefined) return;
    const { kind, url } = lookAt(fd);
    if (this.#kinds.includes(kind)) return;
    throw new GrpcFdError(
      'ERR_GRPCFD_UNEXPECTED_KIND',
      `${this.#path} takes descriptors of the kind ${this.#kinds.join(' or ')}, and ${url} is of the kind ${kind}`,
    );
  }

  /** The handler has received it. */
  received(name: string): void {
    this.#others ??= new Set();
    this.#others.add(name);
  }

  #tooMany(text: string): GrpcFdError {
    const most = this.#maxFds === 1 ? 'one descriptor' : `${this.#maxFds} descriptors`;
    return new GrpcFdError(
      'ERR_GRPCFD_TOO_MANY_DESCRIPTORS',
      `${this.#path} takes ${this.#maxFds === 0 ? 'no descriptors' : `at most ${most}`}, and ${text}`,
    );
  }
}
