/** Tells of rules of `methods` that no method has: a misspelt path would leave its method without a rule, in silence. */
import type * as grpc from '@grpc/grpc-js';
import { registeredMethods } from '../internals/registered-methods.js';
import type { MethodRule } from '../method-rules.js';

type Rules = Readonly<Record<string, MethodRule>>;

/** The servers that were bound with these rules. Several may share them, and each may have some of the methods. */
const serversOf = new WeakMap<Rules, WeakRef<grpc.Server>[]>();

/** Those that were looked at. */
const told = new WeakSet<Rules>();

/** `server` is being bound with these rules. */
export function noteRules(server: grpc.Server, rules: Rules): void {
  registeredMethods(server); // It fails here if it will fail later.
  const others = (serversOf.get(rules) ?? []).filter((each) => ![undefined, server].includes(each.deref()));
  serversOf.set(rules, [...others, new WeakRef(server)]);
}

/** Warns once, when the first client connects: a server may add services after bindAsync(). */
export function warnOfUnmatched(rules: Rules): void {
  if (told.has(rules)) return;
  told.add(rules);
  const methods = (serversOf.get(rules) ?? []).flatMap((each) => {
    const server = each.deref();
    return server === undefined ? [] : registeredMethods(server);
  });
  const unmatched = Object.keys(rules).filter((path) => !methods.includes(path));
  if (unmatched.length === 0) return;
  process.emitWarning(
    `the option methods has rules for ${unmatched.join(', ')}, which the server does not have`,
    {
      code: 'GRPCFD_UNKNOWN_METHOD',
      detail: `These rules hold for no call. The server has ${methods.join(', ') || 'no methods'}.`,
    },
  );
}
