/** Descriptors without calls. */
import { native } from '#src/native/binding.js';
import { callHeaders, message } from '../../support/http2-frames.js';
import { testService } from '../../support/service.js';
import { FULL_MESSAGE, NO_FRAME, RawConnection } from '../raw-connection.js';
import type { AttackFunction, Means } from './attack.js';

const { path } = testService.unary;

/** One descriptor each of a pipe, a memfd, a unix socket and an eventfd, all of which stay open. */
export function kinds(): readonly number[] {
  return [
    native.testing.pipe()[0],
    native.memFd('flood', 4_096, 0),
    native.socketPair()[0],
    native.testing.eventFd(),
  ];
}

async function flood(means: Means, fds: (index: number) => readonly number[]): Promise<never> {
  let index = 0;
  for (;;) {
    const connection = await RawConnection.connectHttp2(means.address, means.attack);
    while (await connection.write(NO_FRAME, fds(index++))) if (index % 16 === 0) await means.pause();
    connection.close();
    await means.pause();
  }
}

/** A message for each descriptor. */
export const oneByOne: AttackFunction = (means) => {
  const fds = kinds();
  return flood(means, (index) => fds.slice(index % fds.length, (index % fds.length) + 1));
};

/** As many as the kernel takes in a message. */
export const fullMessages: AttackFunction = (means) => {
  const fds = kinds();
  const all = Array.from({ length: FULL_MESSAGE }, (_, index) => fds[index % fds.length] ?? 0);
  return flood(means, () => all);
};

/** Connected sockets, which take a thread to close. */
export const sockets: AttackFunction = (means) => {
  const all = Array.from({ length: FULL_MESSAGE }, () => native.socketPair()[0]);
  return flood(means, () => all);
};

/** Inotifies with nobody else who has them: each takes milliseconds to close. */
export const slowCloses: AttackFunction = (means) =>
  flood(means, () => {
    const fds = Array.from({ length: 100 }, () => {
      try {
        return native.testing.inotify();
      } catch {
        // The user has as many as the kernel allows.
        return native.testing.epoll();
      }
    });
    setImmediate(() => native.closeAll(fds));
    return fds;
  });

/** Calls that stay, with 64 descriptors each, all of which they claim. The oldest are reset. */
export const calls: AttackFunction = async (means) => {
  const fds = Array.from({ length: 64 }, () => native.memFd('flood', 4_096, 0));
  const inodes = fds.map((fd) => native.inode(fd)).join('.');
  for (;;) {
    const connection = await RawConnection.connectHttp2(means.address, means.attack);
    for (;;) {
      const stream = connection.nextStream();
      const metadata = { 'grpcfd-fds': `flood;a.0.${connection.sent + 1}.${inodes}` };
      const bytes = Buffer.concat([callHeaders(stream, path, metadata), message(stream, { stay: true })]);
      if (!(await connection.write(bytes, fds))) break;
      means.attack.calls++;
      await means.pause();
    }
    connection.close();
  }
};
