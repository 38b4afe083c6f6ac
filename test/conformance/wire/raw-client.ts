/** Clients that connect to a unix socket and follow scripts. */
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { PATHS } from '../calls.js';
import type { Run } from '../run.js';
import { RawConnection } from './raw-connection.js';
import { type Automatic, SOUND, type Step } from './steps.js';

/** Connects; what is sent before the connection and its TLS session are there is sent then. */
export function connectRaw(run: Run, name: string, automatic: Automatic): RawConnection {
  const socket = connect({ path: run.path, allowHalfOpen: true });
  if (run.security === 'plaintext') return new RawConnection(run, name, socket, 'client', automatic);
  socket.on('error', () => {});
  const secured = connectTls({ socket, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
  return new RawConnection(run, name, secured, 'client', automatic);
}

const SOUND_CALL: readonly Step[] = [
  { do: 'frame', frame: { frame: 'preface' } },
  { do: 'frame', frame: { frame: 'settings' } },
  { do: 'frame', frame: { frame: 'request', stream: 1, method: PATHS.unary, call: 'at the end' } },
  { do: 'frame', frame: { frame: 'message', stream: 1, size: 3, end: true } },
  { do: 'wait', sight: 'end 1' },
];

/** Whether a new client, which does all as it should, gets an answer. */
export async function askSoundly(run: Run): Promise<boolean> {
  const connection = connectRaw(run, 'sound connection', SOUND);
  await connection.play(SOUND_CALL);
  const answered = connection.has('end 1');
  connection.destroy();
  return answered;
}
