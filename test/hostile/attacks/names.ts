/** Names of descriptors that never come. */
import { native } from '#src/native/binding.js';
import { callHeaders, message, reset } from '../../support/http2-frames.js';
import { testService } from '../../support/service.js';
import { RawConnection } from '../raw-connection.js';
import type { AttackFunction, Means } from './attack.js';

const { path } = testService.unary;
const NAMES_OF_A_CALL = 500;
const ENTRIES_OF_A_CALL = 1_500;

interface Asking {
  readonly metadata: Record<string, string>;
  readonly request: object;
}

/** How the calls are written. */
interface Way {
  /** What each call brings. */
  readonly fds?: readonly number[];
  readonly resets?: boolean;
  /** Calls in one write. Default 1. */
  readonly together?: number;
}

/** `make` is given the number of descriptors that were sent before the call. */
async function ask(
  means: Means,
  make: (sent: number) => Asking,
  { fds = [], resets = false, together = 1 }: Way = {},
): Promise<never> {
  const all = Array.from({ length: together }, () => fds).flat();
  for (;;) {
    const connection = await RawConnection.connectHttp2(means.address, means.attack);
    for (let alive = true; alive; await means.pause()) {
      const frames: Buffer[] = [];
      for (let index = 0; index < together; index++) {
        const stream = connection.nextStream();
        const { metadata, request } = make(connection.sent + index * fds.length);
        frames.push(callHeaders(stream, path, metadata), message(stream, request));
        if (resets) frames.push(reset(stream));
      }
      alive = await connection.write(Buffer.concat(frames), all);
      if (alive) means.attack.calls += together;
    }
    connection.close();
  }
}

/** Receives by URL: each waits for a descriptor that may still come. */
export const waits: AttackFunction = (means) => {
  let inode = 0;
  return ask(means, () => {
    const names = Array.from({ length: NAMES_OF_A_CALL }, () => `inode://1/${++inode}`);
    means.attack.others += names.length;
    return { metadata: {}, request: { names } };
  });
};

/** Metadata that names as many as it can, and receives of some. */
export const references: AttackFunction = (means) => {
  let first = 1;
  return ask(means, () => {
    first += ENTRIES_OF_A_CALL;
    means.attack.others += ENTRIES_OF_A_CALL;
    const names = Array.from({ length: NAMES_OF_A_CALL }, (_, index) => `fd:a:${index}`);
    const metadata = { 'grpcfd-fds': `flood;a.0.${first}${'.1/1'.repeat(ENTRIES_OF_A_CALL)}` };
    return { metadata, request: { names } };
  });
};

const PIECES = [
  ...['flood', ';', '.', ',', '!', '/', '-', '\t', 'a', '0', '1', '9'.repeat(20), '1/1', 'fd:', '1e9'],
  ...['x'.repeat(100), '%00', '.1.1', ';;', '__proto__', 'constructor', '18446744073709551616/1'],
];

/** Metadata and names of random pieces, with a descriptor each. */
export const forged: AttackFunction = (means) => {
  const { random } = means;
  const fd = native.memFd('forged', 4_096, 0);
  const inode = native.inode(fd);
  const text = () => Array.from({ length: 1 + random(12) }, () => PIECES[random(PIECES.length)]).join('');
  const names = () => Array.from({ length: 5 }, () => `fd:a:${text()}`);
  return ask(
    means,
    (sent) => {
      const honest = `flood;a.0.${sent + 1}.${inode}`;
      const value = [text(), `flood;${text()}`, honest + text(), honest][random(4)] ?? honest;
      means.attack.others++;
      return { metadata: { 'grpcfd-fds': value }, request: { names: [...names(), 'fd:a:0'] } };
    },
    { fds: [fd], together: 8 },
  );
};

/** Calls that are reset as soon as they have begun, with a descriptor each. */
export const rapidReset: AttackFunction = (means) => {
  const fd = native.memFd('reset', 4_096, 0);
  const inode = native.inode(fd);
  return ask(
    means,
    (sent) => ({
      metadata: { 'grpcfd-fds': `flood;a.0.${sent + 1}.${inode}` },
      request: { stay: true },
    }),
    { fds: [fd], resets: true, together: 32 },
  );
};
