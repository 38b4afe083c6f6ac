import { cutPeerText, quotePeerText } from '../error-text.js';

/** Whether it is an abstract name, which has no file. It starts with NUL, and exists as long as its listener. */
export function isAbstract(address: string): boolean {
  return address.startsWith('\0');
}

/**
 * The bytes of a unix address: a path, or an abstract name that starts with NUL.
 *
 * @throws ERR_INVALID_ARG_VALUE for an address that the kernel would silently take for another one: for an empty name, it would choose
 * one; a path would end at a NUL in it
 */
export function addressBytes(address: string): Uint8Array {
  if (address === '' || address === '\0' || (!isAbstract(address) && address.includes('\0'))) {
    const error = new TypeError(`${quotePeerText(address)} is not the address of a unix socket`);
    throw Object.assign(error, { code: 'ERR_INVALID_ARG_VALUE' });
  }
  return Buffer.from(address);
}

/** Adds the address to the error of a failed syscall, as node:net does. */
export function withAddress(error: unknown, address: string): unknown {
  if (!(error instanceof Error)) return error;
  // The NULs of an abstract name are shown as `ss` shows them.
  error.message += ` ${cutPeerText(address.replaceAll('\0', '@'))}`;
  return Object.assign(error, { address });
}
