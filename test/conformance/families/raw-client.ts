/** Runs a grpc-js server against raw clients. */

import { bind } from '../../support/service.js';
import { addHandlers } from '../handlers.js';
import { Leftovers } from '../leftovers.js';
import { newServer, serverCredentials } from '../library.js';
import type { Run } from '../run.js';
import type { RawClientScript } from '../script.js';
import { askSoundly, connectRaw } from '../wire/raw-client.js';
import type { RawConnection } from '../wire/raw-connection.js';
import type { Step } from '../wire/steps.js';

export async function runRawClient(run: Run, script: RawClientScript): Promise<void> {
  const leftovers = new Leftovers(run.library, false);
  const server = newServer(run.library);
  addHandlers(server, run, script.handlers);
  await bind(server, run.address, await serverCredentials(run.library, run.security));
  const connections: RawConnection[] = [];
  const play = async (steps: readonly Step[], index: number) => {
    await run.hesitate();
    const connection = connectRaw(run, `connection ${index}`, script.automatic);
    connections.push(connection);
    await connection.play(steps);
  };
  await Promise.all(script.connections.map(play));
  // Handlers that take their time.
  await run.until(() => false, 2);
  run.log('a new client', (await askSoundly(run)) ? 'is answered' : 'is not answered');

  let over = false;
  if (script.ending === 'tryShutdown') {
    server.tryShutdown(() => {
      over = true;
      run.stir();
    });
  } else {
    server.forceShutdown();
    over = true;
  }
  await run.until(() => over, 2);
  run.log('shutdown', over ? 'done' : 'pending');
  const open = () => connections.filter(({ closed }) => !closed).length;
  await run.until(() => open() === 0);
  run.log('after shutdown', `${open()} connections open`);
  for (const connection of connections) connection.destroy();
  server.forceShutdown();
  await leftovers.log(run);
}
