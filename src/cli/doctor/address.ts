/** What the doctor finds about who listens at an address. */
import { closeSync, openSync, readFileSync } from 'node:fs';
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import { connect as connectSocket, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { FdSocket } from '../../socket/index.js';
import { oneLine } from '../failure.js';
import { type Finding, note, ok, problem } from './finding.js';

const PATIENCE_MS = 3000;
/** The first bytes of an HTTP/2 client: the preface, and empty SETTINGS. */
const FIRST_BYTES = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.of(0, 0, 0, 4, 0, 0, 0, 0, 0),
]);
/** The metadata key that a server of this package answers, also for a method that it does not have. */
const ASKED = 'grpcfd-fds';

/** The server, or the doctor's end of the connection, has gone. */
const CLOSED = new Set(['EPIPE', 'ECONNRESET', 'ECANCELED']);

const ADVICE: Readonly<Record<string, string>> = {
  ENOENT: 'start the server, or look at the path: a relative one starts at the current directory',
  ECONNREFUSED: 'start the server: nobody listens, and the file is left of one that has ended',
  EACCES:
    'connecting needs the right to write to the socket file, and to search its directories: mode, uid and gid of serverCredentials()',
  EAGAIN: 'the server accepts nothing: its backlog is full, or it hangs',
  EPROTOTYPE: 'the socket at this path is not a stream socket',
};

export async function examineAddress(address: string, path: string): Promise<Finding[]> {
  let socket: FdSocket;
  let sockets: typeof import('../../socket/index.js');
  try {
    sockets = await import('../../socket/index.js');
  } catch {
    return [problem(address, 'cannot be examined without the addon', 'see "addon" above')];
  }
  try {
    socket = await sockets.connect(path);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    return [problem('connect', `${address}: ${oneLine(error)}`, ADVICE[code] ?? 'see the error above')];
  }
  const findings = [ok('connect', address), listener(socket.peer)];
  const accepted = await acceptsDescriptors(socket);
  return [...findings, ...(await protocol(path)), accepted];
}

function listener({ pid, uid, gid }: { pid: number; uid: number; gid: number }): Finding {
  const who = `process ${pid}, uid ${uid}, gid ${gid}`;
  if (pid === 0) return ok('listener', `uid ${uid}, gid ${gid}, a process of another pid namespace`);
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replace(/\0+$/, '').split('\0').join(' ');
    return ok('listener', `${who}: ${oneLine(command)}`);
  } catch {
    return note(
      'listener',
      `${who}, which has ended`,
      'another process has its listening socket, for example a service manager',
    );
  }
}

/** Sends /dev/null with the first bytes. Who does not want it closes it. */
async function acceptsDescriptors(socket: FdSocket): Promise<Finding> {
  const file = openSync('/dev/null', 'r');
  socket.on('error', () => {});
  socket.resume();
  try {
    const sent = socket.sendFd(file);
    socket.write(FIRST_BYTES);
    await sent;
    return ok('descriptors', 'the kernel lets them pass');
  } catch (error) {
    return refusal(error);
  } finally {
    closeSync(file);
    socket.destroy();
  }
}

/** What it means that a descriptor could not be sent. */
export function refusal(error: unknown): Finding {
  const { code = '' } = error as NodeJS.ErrnoException;
  if (CLOSED.has(code)) {
    return problem('descriptors', 'could not be tried: the connection was closed', 'see "HTTP/2" above');
  }
  const text = `the kernel refuses to send one: ${oneLine(error)}`;
  return code === 'EPERM'
    ? problem(
        'descriptors',
        text,
        'the server has SO_PASSRIGHTS off (acceptFds: false), or a security module forbids it',
      )
    : problem('descriptors', text, 'see the error');
}

async function protocol(path: string): Promise<Finding[]> {
  const plain = await ask(() => Promise.resolve(connectSocket(path)));
  if (plain !== undefined) return [ok('HTTP/2', 'yes, in plaintext'), implementation(plain)];
  let certificate = '';
  const tls = await ask(async () => {
    const socket = await secure(path);
    const subject = socket.getPeerCertificate().subject?.CN;
    certificate = `${socket.getProtocol()}${subject === undefined ? '' : `, certificate for ${oneLine(subject)}`}`;
    return socket;
  });
  if (tls !== undefined) return [ok('HTTP/2', `yes, under TLS (${certificate})`), implementation(tls)];
  if (certificate !== '') {
    return [
      note(
        'HTTP/2',
        `it speaks TLS (${certificate}), and did not answer a call`,
        'it may ask for a certificate of the client: try grpcfd call with --cert and --key',
      ),
    ];
  }
  return [
    problem(
      'HTTP/2',
      'it answers neither HTTP/2 nor TLS',
      'it is no gRPC server, it hangs, it refused this process (authorize, maxConnections), or it is a proxy whose server is down',
    ),
  ];
}

function implementation(headers: IncomingHttpHeaders): Finding {
  if (headers[ASKED] !== undefined) return ok('server', 'this package: references (ref) work');
  if (headers['grpc-status'] === undefined) {
    return note('server', `HTTP/2, but no gRPC: status ${headers[':status']}`, 'look at the address');
  }
  return note(
    'server',
    'a gRPC server that is not this package, or one with stock credentials',
    'a server of the Go package takes names by URL (grpcfd call --url). Any other drops descriptors: new grpcfd.Server() and serverCredentials()',
  );
}

function secure(path: string): Promise<import('node:tls').TLSSocket> {
  return new Promise((resolve, reject) => {
    // It is examined, and nothing is told to it. So its certificate does not matter.
    const socket = connectTls({
      path,
      ALPNProtocols: ['h2'],
      servername: 'localhost',
      rejectUnauthorized: false,
    });
    const timer = setTimeout(() => socket.destroy(new Error('no answer')), PATIENCE_MS);
    socket.once('secureConnect', () => {
      clearTimeout(timer);
      resolve(socket);
    });
    socket.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
}

/** The headers of the answer to a call of no method; undefined if there was none. */
async function ask(dial: () => Promise<Duplex | Socket>): Promise<IncomingHttpHeaders | undefined> {
  let session: ClientHttp2Session | undefined;
  try {
    const socket = await dial();
    return await new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), PATIENCE_MS);
      const done = (headers?: IncomingHttpHeaders) => {
        clearTimeout(timer);
        resolve(headers);
      };
      session = connectHttp2('http://localhost', { createConnection: () => socket });
      session.on('error', () => done());
      session.on('close', () => done());
      const stream = session.request({
        [constants.HTTP2_HEADER_METHOD]: 'POST',
        [constants.HTTP2_HEADER_PATH]: '/grpcfd.Doctor/Ask',
        [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
        [constants.HTTP2_HEADER_TE]: 'trailers',
        [ASKED]: 'doctor',
      });
      stream.on('response', (headers) => done(headers));
      stream.on('error', () => {});
      stream.resume();
      stream.end();
    });
  } catch {
    return undefined;
  } finally {
    session?.destroy();
  }
}
