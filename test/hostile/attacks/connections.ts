/** Connections that do not become what they should. */
import { randomBytes } from 'node:crypto';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { native } from '#src/native/binding.js';
import { callHeaders, message, PREFACE, settings } from '../../support/http2-frames.js';
import { testService } from '../../support/service.js';
import { FULL_MESSAGE, RawConnection } from '../raw-connection.js';
import type { AttackFunction, Means } from './attack.js';
import { kinds } from './floods.js';

const { path } = testService.unary;

/** As many connections as the process can have, each with some bytes and descriptors, and then nothing more. Those that are closed come again. */
async function keepOpen(
  means: Means,
  most: number,
  begin: (connection: RawConnection) => Promise<unknown>,
): Promise<never> {
  const open = new Set<RawConnection>();
  for (;;) {
    for (const connection of open) {
      connection.drain();
      if (!connection.hasEnded) continue;
      connection.close();
      open.delete(connection);
    }
    for (let count = 0; count < 32 && open.size < most; count++) {
      const connection = await RawConnection.connect(means.address, means.attack);
      await begin(connection);
      open.add(connection);
    }
    await means.pause();
  }
}

export const halfOpen: AttackFunction = (means) => {
  const fds = kinds();
  return keepOpen(means, 2_000, async (connection) => {
    const bytes = PREFACE.subarray(0, means.random(PREFACE.length));
    if (bytes.length > 0) await connection.write(bytes, fds);
  });
};

/** The first message of a TLS client, and more descriptors than may come with it. */
export const handshakes: AttackFunction = async (means) => {
  const hello = await clientHello();
  const fds = Array.from({ length: FULL_MESSAGE }, () => native.testing.eventFd());
  return keepOpen(means, 2_000, async (connection) => {
    await connection.write(hello.subarray(0, 1 + means.random(hello.length)), fds);
    means.attack.others++;
  });
};

function clientHello(): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket = new Duplex({ read() {}, write: (chunk: Buffer) => resolve(chunk) });
    connectTls({ socket, ALPNProtocols: ['h2'], rejectUnauthorized: false }).on('error', () => {});
  });
}

/** A call, and then bytes that mean nothing, with descriptors. */
export const garbage: AttackFunction = async (means) => {
  const fds = kinds();
  for (;;) {
    const connection = await RawConnection.connect(means.address, means.attack);
    const stream = connection.nextStream();
    const real = [PREFACE, settings(), callHeaders(stream, path), message(stream, {})];
    await connection.write(Buffer.concat(real), fds);
    means.attack.calls++;
    // Some bytes are half of a frame, and its rest does not come.
    for (let round = means.random(8); round >= 0; round--)
      if (!(await connection.write(randomBytes(1 + means.random(2_000)), fds))) break;
    await means.pause();
    connection.close();
  }
};

/** Calls whose replies bring descriptors, of which none is read. */
export const unread: AttackFunction = async (means) => {
  for (;;) {
    const connection = await RawConnection.connectHttp2(means.address, means.attack);
    for (;;) {
      const stream = connection.nextStream();
      const bytes = [callHeaders(stream, path), message(stream, { replies: 64 })];
      if (!(await connection.write(Buffer.concat(bytes), [], false))) break;
      means.attack.calls++;
      await means.pause();
    }
    connection.close();
    await means.pause();
  }
};
