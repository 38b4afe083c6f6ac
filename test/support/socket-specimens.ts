/** Sockets of all kinds as one process sends them, and as another one serves them. */
import { spawn } from 'node:child_process';
import * as dgram from 'node:dgram';
import { once } from 'node:events';
import * as http from 'node:http';
import * as net from 'node:net';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { ReceivedFile, Sendable } from 'grpcfd';
import { type FdSocket, socketPair } from 'grpcfd/socket';
import { temporaryDirectory } from './temporary.js';

export interface Made {
  readonly thing: Sendable;
  /** Closes `thing` in this process, as its sender does. */
  close(): unknown;
  /** Asks whoever has the thing. Closes all that was made. */
  talk(question: string): Promise<string>;
}

export interface SocketSpecimen {
  readonly what: string;
  make(): Promise<Made>;
  /** Answers one question, and ends. */
  serve(file: ReceivedFile): unknown;
}

const answerTo = (question: unknown): string => `process ${process.pid} heard: ${question}`;

function serveStream(stream: net.Socket | FdSocket): void {
  stream.once('data', (question: Buffer) => stream.end(answerTo(question)));
}

async function talkOver(stream: net.Socket | FdSocket, question: string): Promise<string> {
  stream.write(question);
  const [answer] = await once(stream, 'data');
  stream.destroy();
  return String(answer);
}

type Place = 'unix' | '127.0.0.1' | '::1';

async function listenAt<Server extends net.Server>(server: Server, place: Place): Promise<Server> {
  if (place === 'unix') server.listen(join(temporaryDirectory(), 'server'));
  else server.listen(0, place);
  await once(server, 'listening');
  return server;
}

function connectOptions(server: net.Server): net.NetConnectOpts {
  const address = server.address();
  return typeof address === 'string'
    ? { path: address }
    : { host: address?.address, port: address?.port ?? 0 };
}

const connection = (place: Place): SocketSpecimen => ({
  what: `a net.Socket (${place})`,
  async make() {
    const server = await listenAt(net.createServer(), place);
    const accepted = once(server, 'connection') as Promise<[net.Socket]>;
    const peer = net.connect(connectOptions(server));
    const [thing] = await accepted;
    server.close();
    return { thing, close: () => thing.destroy(), talk: (question) => talkOver(peer, question) };
  },
  serve: (file) => serveStream(file.toSocket()),
});

const fdSocket: SocketSpecimen = {
  what: 'an FdSocket',
  async make() {
    const [thing, peer] = socketPair();
    return { thing, close: () => thing.destroy(), talk: (question) => talkOver(peer, question) };
  },
  serve: (file) => serveStream(file.toFdSocket()),
};

const server = (place: Place): SocketSpecimen => ({
  what: `a net.Server (${place})`,
  async make() {
    const thing = await listenAt(net.createServer(), place);
    const options = connectOptions(thing);
    return {
      thing,
      close: () => thing.close(),
      talk: (question) => talkOver(net.connect(options), question),
    };
  },
  serve(file) {
    const server = file.toServer({ unlinkOnClose: true });
    server.once('connection', (socket) => {
      serveStream(socket);
      server.close();
    });
  },
});

const webServer: SocketSpecimen = {
  what: 'an http.Server',
  async make() {
    const thing = await listenAt(http.createServer(), '127.0.0.1');
    const { port } = thing.address() as net.AddressInfo;
    return {
      thing,
      close: () => thing.close(),
      async talk(question) {
        const path = `/${encodeURIComponent(question)}`;
        const request = http.get({ host: '127.0.0.1', port, path, agent: false });
        const [response] = (await once(request, 'response')) as [http.IncomingMessage];
        const [answer] = await once(response, 'data');
        response.resume();
        return String(answer);
      },
    };
  },
  serve(file) {
    const server = http.createServer((request, response) => {
      response.end(answerTo(decodeURIComponent(request.url?.slice(1) ?? '')));
      server.close();
    });
    file.toServer({ server });
  },
};

const udp = (type: 'udp4' | 'udp6'): SocketSpecimen => ({
  what: `a dgram.Socket (${type})`,
  async make() {
    const [thing, peer] = [dgram.createSocket(type), dgram.createSocket(type)];
    const bound = [thing, peer].map((socket) => once(socket, 'listening'));
    for (const socket of [thing, peer]) socket.bind(0, type === 'udp4' ? '127.0.0.1' : '::1');
    await Promise.all(bound);
    const { address, port } = thing.address();
    return {
      thing,
      close: () => thing.close(),
      async talk(question) {
        peer.send(question, port, address);
        const [answer] = await once(peer, 'message');
        peer.close();
        return String(answer);
      },
    };
  },
  serve(file) {
    const socket = file.toDatagramSocket();
    socket.once('message', (question, { port, address }) => {
      socket.send(answerTo(question), port, address, () => socket.close());
    });
  },
});

/** Node gives each child process socketpairs, so what is written to its output can be read there. */
const childOutput: SocketSpecimen = {
  what: 'child.stdout',
  async make() {
    const script = 'cat <&4 >&1 & cat <&1 >&3';
    const child = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit', 'pipe', 'pipe'] });
    const [, thing, , answers, questions] = child.stdio;
    return {
      thing: thing as Readable,
      close: () => thing?.destroy(),
      async talk(question) {
        const exited = once(child, 'exit');
        (questions as Writable).end(question);
        const [answer] = await once(answers as Readable, 'data');
        await exited;
        (answers as Readable).destroy();
        return String(answer);
      },
    };
  },
  serve: (file) => serveStream(file.toSocket()),
};

export const SOCKET_SPECIMENS: readonly SocketSpecimen[] = [
  connection('unix'),
  connection('127.0.0.1'),
  connection('::1'),
  fdSocket,
  server('unix'),
  server('127.0.0.1'),
  server('::1'),
  webServer,
  udp('udp4'),
  udp('udp6'),
  childOutput,
];
