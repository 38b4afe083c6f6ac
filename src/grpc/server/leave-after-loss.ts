import type { ServerHttp2Session } from 'node:http2';
import { clearTimeout, now, setTimeout } from '../../timers.js';
import type { Connection } from '../connection.js';

/** Calls that were on their way when the loss happened follow each other within this time. */
const NEXT_CALL_MS = 50;

/** How long the server waits for the HEADERS of the call that lost descriptors while no bytes come. */
const QUIET_MS = 1_000;

/** The session of a peer that never pauses is closed after this time. */
const LONGEST_MS = 5_000;

/**
 * Ends the session of a server after descriptors that came in were lost. Sequence numbers are of no use on its connection
 * any more, so the channel has to make a new one. The session does not end at once, because the call that lost descriptors has to reach
 * its handler, and fail there with the reason. A session that is closing would refuse the call, and its next attempt would wait for as
 * long as the table is full. Descriptors may come before the HEADERS of their call, and under TLS a record may come in two reads.
 */
export function leaveAfterLoss(session: ServerHttp2Session, connection: Connection): void {
  let timer: NodeJS.Timeout | undefined;
  let leavesAt = 0;

  const leaveIn = (ms: number, unlessBytesFollow: boolean): void => {
    const { bytesRead } = connection.stats();
    clearTimeout(timer);
    const leave = (): void => {
      const somethingCame = connection.isOpen && connection.stats().bytesRead > bytesRead;
      if (unlessBytesFollow && somethingCame && now() < leavesAt) leaveIn(ms, true);
      else session.close();
    };
    timer = setTimeout(leave, Math.min(ms, Math.max(leavesAt - now(), 0))).unref();
  };

  const lost = (): void => {
    if (leavesAt > 0) return;
    leavesAt = now() + LONGEST_MS;
    session.on('stream', () => leaveIn(NEXT_CALL_MS, false));
    session.once('close', () => clearTimeout(timer));
    leaveIn(QUIET_MS, true);
  };

  connection.onDescriptorsLost = lost;
  if (connection.descriptorsLost !== undefined) lost();
}
