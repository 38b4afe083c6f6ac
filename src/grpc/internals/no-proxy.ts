/**
 * Keeps the targets of this package from HTTP proxies.
 *
 * grpc-js sends each target to the proxy that the environment names (`http_proxy` and others), except those whose scheme is `unix`
 * (`mapProxyName` in `http_proxy.js`). A unix socket under another scheme would be asked of the proxy, by its name and over TCP. grpc-js has
 * no option for a scheme, and does not export that function. It calls it through the exports of its own module, so these are changed.
 * Where that has no effect, as in some bundles, `proxiedTarget()` shows what has happened.
 */

interface Target {
  readonly scheme?: string | undefined;
}

type MapProxyName = (target: Target, options: object) => { target: Target; extraOptions: object };

/** It is found at the import, like all code: a process may change its root before it has credentials. */
const proxies = httpProxyModule();
const schemes = new Set<string>();
let replaced = false;

/** From now on, grpc-js uses no proxy for targets of that scheme, in this process. */
export function neverProxy(scheme: string): void {
  schemes.add(scheme);
  if (replaced) return;
  replaced = true;
  const { mapProxyName } = proxies ?? {};
  if (proxies === undefined || mapProxyName === undefined) return;
  proxies.mapProxyName = (target, options) =>
    target.scheme !== undefined && schemes.has(target.scheme)
      ? { target, extraOptions: {} }
      : mapProxyName(target, options);
}

/** Undefined where the installed grpc-js has no such file, or packs it up. */
function httpProxyModule(): { mapProxyName?: MapProxyName } | undefined {
  try {
    return require('@grpc/grpc-js/build/src/http_proxy.js') as ReturnType<typeof httpProxyModule>;
  } catch {
    return undefined;
  }
}

/** The target that grpc-js would ask a proxy for, although its scheme is one of {@link neverProxy}. `options` are those of a subchannel. */
export function proxiedTarget(options: object): string | undefined {
  const target: unknown = Reflect.get(options, 'grpc.http_connect_target');
  if (typeof target !== 'string') return undefined;
  return schemes.has(target.split(':', 1)[0] ?? '') ? target : undefined;
}
