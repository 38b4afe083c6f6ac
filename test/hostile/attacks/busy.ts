/** A client that makes many good calls, and is stopped or killed in the middle of them. */
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { TestClient } from '../../support/service.js';
import type { AttackFunction } from './attack.js';

const CALLERS = 16;

export const busy: AttackFunction = async ({ address, attack, pause }) => {
  const client = new TestClient(address, grpcfd.channelCredentials());
  const fd = native.memFd('busy', 4_096, 0);
  attack.connections++;
  const call = async (index: number): Promise<never> => {
    for (;;) {
      using fds = grpcfd.callCredentials();
      const { ref } = fds.sendFd(fd);
      attack.calls++;
      attack.descriptors++;
      const request = index % 4 === 0 ? { replies: 8 } : { file: ref };
      await client.unary(request, fds.options()).catch(() => {});
      await pause();
    }
  };
  return Promise.race(Array.from({ length: CALLERS }, (_, index) => call(index)));
};
