import { cutPeerText, quotePeerText } from '../error-text.js';

/** An abstract name has no file: it starts with NUL, and ends with the last listener. */
export function isAbstract(address: string): boolean {
  return address.startsWith('\0');
}

/**
 * The bytes of a unix address: a path, or `\0` and an abstract name. Throws ERR_INVALID_ARG_VALUE for what
 * the kernel would silently take for something else: no name at all (it would pick one), or a path with a NUL
 * in it (it would end there).
 */
export function addressBytes(address: string): Uint8Array {
  if (address === '' || address === '\0' || (!isAbstract(address) && address.includes('\0'))) {
    const error = new TypeError(`${quotePeerText(address)} is not the address of a unix socket`);
    throw Object.assign(error, { code: 'ERR_INVALID_ARG_VALUE' });
  }
  return Buffer.from(address);
}

/** Says in a failed syscall's error which address it was about, as the errors of node:net do. */
export function withAddress(error: unknown, address: string): unknown {
  if (!(error instanceof Error)) return error;
  // An abstract name with its NULs as `ss` shows them.
  error.message += ` ${cutPeerText(address.replaceAll('\0', '@'))}`;
  return Object.assign(error, { address });
}
