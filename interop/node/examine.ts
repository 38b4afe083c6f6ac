/** Checks that a received file is the one that its message names; the counterpart of `Examine` of the Go peers. */
import { constants } from 'node:fs';
import { text } from 'node:stream/consumers';
import type { ReceivedFile } from 'grpcfd';
import type { File, Kind } from './protocol.js';

const DIAL_TIMEOUT_MS = 20_000;

/** Rejects unless the inode is the same and the evidence can be read through the descriptor. `file` stays open. */
export async function examine(file: ReceivedFile, promised: File): Promise<void> {
  if (file.url !== promised.url) throw new Error(`received ${file.url}`);
  const found = await evidenceOf(file, promised.kind);
  if (found !== promised.evidence) throw new Error(`found "${found}", not "${promised.evidence}"`);
}

async function evidenceOf(file: ReceivedFile, kind: Kind): Promise<string> {
  switch (kind) {
    case 'UNLINKED':
    case 'MEMFD':
      return file.readFile('utf8');
    case 'REGULAR':
    case 'PROC_FD': {
      await using reopened = file.reopen(constants.O_RDONLY);
      return await reopened.readFile('utf8');
    }
    case 'SOCKET': {
      const socket = await file.connect({ timeoutMs: DIAL_TIMEOUT_MS });
      socket.setTimeout(DIAL_TIMEOUT_MS, () => socket.destroy(new Error('the socket sent no greeting')));
      return text(socket);
    }
    case 'DIRECTORY': {
      const entries = await file.readdir();
      return entries.join();
    }
    case 'NETNS': {
      const { type, id } = file.namespace();
      return `${type}:[${id}]`;
    }
  }
}
