import { close, native, systemError } from '#src/native/binding.js';
import { ARRIVED } from '#src/native/bridge-types.js';
import { unpackFds } from '#src/native/fd-lists.js';
import { defer } from './fd-table.js';

export interface Datagram {
  readonly bytes: Buffer;
  /** They belong to the caller. */
  readonly fds: number[];
}

/** A datagram socket, as systemd has one for its services. The end of the test closes it. */
export function datagramReceiver(address: string): { next: () => Datagram } {
  const fd = native.testing.datagramSocket(Buffer.from(address));
  defer(() => close(fd));
  const next = (): Datagram => {
    const buffer = Buffer.alloc(4096);
    const arrived = new Int32Array(ARRIVED.LENGTH);
    const size = native.testing.receiveDatagram(fd, buffer, arrived);
    if (size < 0) throw systemError(-size, 'recvmsg');
    const count = arrived[ARRIVED.COUNT] ?? 0;
    return {
      bytes: buffer.subarray(0, size),
      fds: unpackFds(arrived, ARRIVED.FIRST, ARRIVED.FIRST + count),
    };
  };
  return { next };
}
