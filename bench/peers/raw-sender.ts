/** `raw-sender.js PATH`: sends to that socket, as c/limit.c does. */
import { connect } from 'grpcfd/socket';
import { obey } from '../lib/control.js';
import { FilePool } from './files.js';

const socket = await connect(process.argv[2] ?? '');
const pool = new FilePool();
let unacknowledged = 0;
let onAck = () => {};
socket.on('data', (acks: Buffer) => {
  unacknowledged -= acks.length;
  onAck();
});

/** Resolves when fewer than `windows` windows are unacknowledged. */
function acknowledged(windows: number): Promise<void> {
  return new Promise((resolve) => {
    onAck = () => {
      if (unacknowledged >= windows) return;
      onAck = () => {};
      resolve();
    };
    onAck();
  });
}

const commands = {
  /** Returns seconds. */
  async send(messages: number, count: number, bytes: number, window: number): Promise<number> {
    const files = pool.take(count);
    const payload = Buffer.alloc(bytes);
    const start = performance.now();
    for (let sent = 1; sent <= messages; sent++) {
      socket.writeWithFds(payload, files);
      if (sent % window === 0 && ++unacknowledged >= 2) await acknowledged(2);
    }
    if (messages % window !== 0) unacknowledged++;
    await acknowledged(1);
    return (performance.now() - start) / 1e3;
  },
};
export type SenderCommands = typeof commands;
obey(commands);
