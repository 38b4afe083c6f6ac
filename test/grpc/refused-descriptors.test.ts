/** A raw peer sends descriptors to servers with `acceptFds: false`, at each place where a server gets its connections. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { fstatSync, readSync } from 'node:fs';
import * as http2 from 'node:http2';
import { constants } from 'node:os';
import { test } from 'node:test';
import { promisify } from 'node:util';
import * as grpcfd from 'grpcfd';
import type { FdSocket } from 'grpcfd/socket';
import { closeAll, native } from '#src/native/binding.js';
import { assertFails } from '../support/failure.js';
import { defer, descriptorTable, trackDescriptors } from '../support/fd-table.js';
import { FramePeer } from '../support/frame-peer.js';
import { callHeaders, FRAME, FrameReader, message, PREFACE, settings } from '../support/http2-frames.js';
import { listeningSocket } from '../support/listening.js';
import { bind, freshAddress, shutDown, testService } from '../support/service.js';
import { socketOver, socketPair } from '../support/socket-pair.js';
import { within } from '../support/until.js';

trackDescriptors();

const HANG_MS = 10_000;
const { EPERM } = constants.errno;

interface Place {
  /** Connects. What the peer sends before {@link serve} comes to a connection that nobody has guarded yet. */
  connect(): FdSocket;
  /** Starts to serve the connection, where it is not served yet. */
  serve?(): Promise<unknown>;
  /** Connections are guarded from the moment at which the peer connects, where the kernel can do that. */
  readonly early: boolean;
}

interface Seen {
  readonly connections: grpcfd.FdConnection[];
  /** How often the handler was told that nothing is accepted. */
  refusals: number;
}

/** Whether the kernel can refuse descriptors: since Linux 6.16. */
function kernelRefuses(): boolean {
  const pair = native.socketPair();
  const can = native.refuseRights(pair[0]);
  native.closeAll(pair);
  return can;
}

const optionsOf = (seen: Seen): grpcfd.FdServerOptions => ({
  acceptFds: false,
  onConnection: (each) => void seen.connections.push(each),
});

async function refusedIn(fds: grpcfd.FdServerCall, url: string, seen: Seen): Promise<void> {
  await assertFails(fds.recvFd(url), 'ERR_GRPCFD_NOT_ACCEPTED', 'PERMISSION_DENIED');
  seen.refusals++;
}

function grpcServer(seen: Seen): grpcfd.Server {
  const server = new grpcfd.Server();
  server.addService(testService, {
    unary: grpcfd.handler(async (call, fds) => {
      await refusedIn(fds, String(call.request['url']), seen);
      return {};
    }),
  });
  defer(() => shutDown(server));
  return server;
}

const pathOf = (address: string) => Buffer.from(address.slice('unix:'.length));

const dialled = (address: string) => socketOver(native.connectUnix(pathOf(address)));

const PLACES: Readonly<Record<string, (seen: Seen) => Place | Promise<Place>>> = {
  async 'a path'(seen) {
    const address = freshAddress();
    await bind(grpcServer(seen), address, grpcfd.serverCredentials(undefined, optionsOf(seen)));
    return { early: true, connect: () => dialled(address) };
  },
  'an inherited socket that listens'(seen) {
    const address = freshAddress();
    const listening = listeningSocket(String(pathOf(address)));
    return {
      early: false,
      connect: () => dialled(address),
      serve: () =>
        bind(grpcServer(seen), `fd:${listening}`, grpcfd.serverCredentials(undefined, optionsOf(seen))),
    };
  },
  'serveConnection()'(seen) {
    const [near, far] = socketPair();
    return {
      early: false,
      connect: () => far,
      serve: () =>
        grpcServer(seen).serveConnection(near, grpcfd.serverCredentials(undefined, optionsOf(seen))),
    };
  },
  async 'carryDescriptorsOn()'(seen) {
    const address = freshAddress();
    const server = http2.createServer((request, response) => {
      refusedIn(grpcfd.fromCall(request), String(request.headers['x-url']), seen).finally(() =>
        response.end(),
      );
    });
    grpcfd.carryDescriptorsOn(server, optionsOf(seen));
    server.listen({ path: String(pathOf(address)) });
    await once(server, 'listening');
    defer(() => promisify(server.close.bind(server))());
    return { early: true, connect: () => dialled(address) };
  },
};

for (const [name, place] of Object.entries(PLACES)) {
  test(`${name}: what a raw peer sends with its first bytes and later is closed, and its call is told why`, async () => {
    const seen: Seen = { connections: [], refusals: 0 };
    const { connect, serve, early } = await place(seen);
    const [out, into] = native.testing.pipe();
    defer(() => closeAll([out]));
    const { dev, ino } = fstatSync(into, { bigint: true });
    const url = `inode://${dev}/${ino}`;
    const table = [...descriptorTable().values()].filter((target) => target.includes(String(ino))).length;

    const socket = connect();
    const peer = new FramePeer(socket, new FrameReader());
    const send = async (...bytes: Buffer[]): Promise<boolean> => {
      const sent = socket.sendFds([into, into, into]);
      peer.write(...bytes);
      return await sent.then(
        () => true,
        (error: NodeJS.ErrnoException) => {
          assert.equal(error.errno, -EPERM, String(error));
          return false;
        },
      );
    };
    const first = await send(PREFACE, settings());
    await serve?.();
    await within(HANG_MS, 'the connection', () => seen.connections.length === 1);
    const call = [callHeaders(1, testService.unary.path, { 'x-url': url }), message(1, { url })] as const;
    const second = await send(...call);
    await within(HANG_MS, 'the answer', () => seen.refusals === 1);
    assert.deepEqual([first, second], kernelRefuses() ? [!early, false] : [true, true]);

    const stats = seen.connections[0]?.stats();
    const arrived = 3 * (Number(first) + Number(second));
    assert.deepEqual(
      [stats?.receivedFds, stats?.refusedFds, stats?.heldFds, stats?.losses],
      [0, arrived, 0, 0],
    );
    // This process has the pipe as before, and nobody else has it: its end follows the close of the last descriptor.
    const now = () => [...descriptorTable().values()].filter((target) => target.includes(String(ino))).length;
    await within(HANG_MS, 'the closes', () => now() === table);
    closeAll([into]);
    await within(HANG_MS, 'the end of the pipe', () => hasEnded(out));
    // The connection goes on: the call has its answer.
    await peer.first(FRAME.HEADERS, 1);
  });
}

function hasEnded(fd: number): boolean {
  try {
    return readSync(fd, Buffer.alloc(1)) === 0;
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
    return false;
  }
}
