import { FD_SCHEME, registerFdResolver } from './fd-target.js';
import { neverProxy } from './no-proxy.js';
import { registerUnixAbstractResolver, UNIX_ABSTRACT_SCHEME } from './unix-abstract.js';

/** Makes `unix-abstract:` and `fd:` schemes of grpc-js, which it treats as it treats `unix:`. */
export function registerSchemes(): void {
  registerUnixAbstractResolver();
  registerFdResolver();
  neverProxy(UNIX_ABSTRACT_SCHEME);
  neverProxy(FD_SCHEME);
}
