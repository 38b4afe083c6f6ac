/** `raw-receiver.js PATH`: receives from that socket, as c/limit.c does. */
import { closeSync, fstatSync } from 'node:fs';
import { closeFds, type FdSocket, identifyFds, listen } from 'grpcfd/socket';
import { obey } from '../lib/control.js';

/** The functions by which a receiver identifies descriptors and closes them. */
export type Handling = 'batched' | 'node:fs';

const HANDLINGS: Readonly<Record<Handling, (fds: number[]) => void>> = {
  batched: (fds) => {
    identifyFds(fds);
    closeFds(fds);
  },
  'node:fs': (fds) => {
    for (const fd of fds) {
      fstatSync(fd);
      closeSync(fd);
    }
  },
};

const ACK = Buffer.alloc(1);
let handle = HANDLINGS.batched;
let bytesLeft = 0;
let bytesToAck = 0;
let untilAck = 0;

function onData(this: FdSocket, chunk: Buffer): void {
  bytesLeft -= chunk.length;
  untilAck -= chunk.length;
  for (; untilAck <= 0; untilAck += bytesToAck) this.write(ACK);
  if (bytesLeft === 0 && untilAck !== bytesToAck) this.write(ACK);
}

await listen({ path: process.argv[2] ?? '' }, (socket) => {
  socket.on('fds', (fds) => handle(fds));
  socket.on('data', onData);
});

const commands = {
  expect(bytes: number, ackEvery: number, handling: Handling): void {
    bytesLeft = bytes;
    bytesToAck = ackEvery;
    untilAck = ackEvery;
    handle = HANDLINGS[handling];
  },
};
export type ReceiverCommands = typeof commands;
obey(commands);
