/** What the doctor finds about who listens at an address. */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { FdSocket } from '../../socket/index.js';
import { oneLine } from '../failure.js';
import { type Finding, note, ok, problem } from './finding.js';

const PATIENCE_MS = 3000;
/** The metadata key that a server of this package answers, also for a method that it does not have. */
const ASKED = 'grpcfd-fds';
/** What the doctor calls its connection, and its descriptor, in that metadata. */
const ID = 'doctor';

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
  return [
    ok('connect', address),
    listener(socket.peer),
    ...(await protocol(socket, () => sockets.connect(path))),
  ];
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

function untried(reason: string): Finding {
  return problem('descriptors', `could not be tried: ${reason}`, 'see "HTTP/2" above');
}

/** What it means that a descriptor could not be sent. */
export function refusal(error: unknown): Finding {
  const { code = '' } = error as NodeJS.ErrnoException;
  if (CLOSED.has(code)) {
    return untried('the connection was closed');
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

async function protocol(first: FdSocket, dial: () => Promise<FdSocket>): Promise<Finding[]> {
  const plain = await ask(first, async () => first);
  if (plain.headers !== undefined) {
    return [ok('HTTP/2', 'yes, in plaintext'), implementation(plain.headers), plain.descriptors];
  }
  let certificate = '';
  const tls = await dial().then(
    (second) =>
      ask(second, async () => {
        const socket = await secure(second);
        const subject = socket.getPeerCertificate().subject?.CN;
        certificate = `${socket.getProtocol()}${subject === undefined ? '' : `, certificate for ${oneLine(subject)}`}`;
        return socket;
      }),
    () => plain,
  );
  if (tls.headers !== undefined) {
    return [ok('HTTP/2', `yes, under TLS (${certificate})`), implementation(tls.headers), tls.descriptors];
  }
  if (certificate !== '') {
    return [
      note(
        'HTTP/2',
        `it speaks TLS (${certificate}), and did not answer a call`,
        'it may ask for a certificate of the client: try grpcfd call with --cert and --key',
      ),
      tls.descriptors,
    ];
  }
  return [
    problem(
      'HTTP/2',
      'it answers neither HTTP/2 nor TLS',
      'it is no gRPC server, it hangs, it refused this process (authorize, maxConnections), or it is a proxy whose server is down',
    ),
    // The kernel lets them pass to anybody who listens, also where nobody takes them.
    plain.descriptors.state === 'ok' ? untried('no call was answered') : plain.descriptors,
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

function secure(socket: FdSocket): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    // It is examined, and nothing is told to it. So its certificate does not matter.
    const tls = connectTls({
      socket,
      ALPNProtocols: ['h2'],
      servername: 'localhost',
      rejectUnauthorized: false,
    });
    const timer = setTimeout(() => tls.destroy(new Error('no answer')), PATIENCE_MS);
    const settle = (done: () => void) => {
      clearTimeout(timer);
      done();
    };
    tls.once('secureConnect', () => settle(() => resolve(tls)));
    tls.once('close', () => settle(() => reject(new Error('it was closed'))));
    tls.on('error', (error) => settle(() => reject(error)));
  });
}

interface Answer {
  /** Of the answer to a call of no method; undefined if there was none. */
  readonly headers: IncomingHttpHeaders | undefined;
  /** Whether a descriptor could be sent. */
  readonly descriptors: Finding;
}

/**
 * Makes a call of no method, with /dev/null, and destroys the socket. The descriptor goes when the peer has shown that it speaks HTTP/2, and the call
 * names it: so a server of this package knows whose it is and closes it, and so does who looks on.
 */
async function ask(socket: FdSocket, dial: () => Promise<Duplex>): Promise<Answer> {
  socket.on('error', () => {});
  const file = openSync('/dev/null', 'r');
  try {
    const { dev, ino } = fstatSync(file, { bigint: true });
    let descriptors = Promise.resolve(untried('no call was answered'));
    const headers = await answer(dial, async (session) => {
      descriptors = sending(socket, file);
      // The descriptor goes with these bytes.
      session.ping(() => {});
      return (await descriptors).state === 'ok' ? `${ID};${ID}.0.1.${dev}/${ino}` : ID;
    });
    // What has not been sent is refused now.
    socket.destroy();
    return { headers, descriptors: await descriptors };
  } finally {
    closeSync(file);
  }
}

async function sending(socket: FdSocket, fd: number): Promise<Finding> {
  try {
    await socket.sendFd(fd);
    return ok('descriptors', 'the kernel lets them pass');
  } catch (error) {
    return refusal(error);
  }
}

async function answer(
  dial: () => Promise<Duplex>,
  metadata: (session: ClientHttp2Session) => Promise<string>,
): Promise<IncomingHttpHeaders | undefined> {
  let session: ClientHttp2Session | undefined;
  try {
    const socket = await dial();
    return await new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), PATIENCE_MS);
      const done = (headers?: IncomingHttpHeaders) => {
        clearTimeout(timer);
        resolve(headers);
      };
      const opened = connectHttp2('http://localhost', { createConnection: () => socket });
      session = opened;
      opened.on('error', () => done());
      opened.on('close', () => done());
      opened.once('remoteSettings', async () => {
        const value = await metadata(opened);
        if (opened.destroyed || opened.closed) return done();
        const stream = opened.request({
          [constants.HTTP2_HEADER_METHOD]: 'POST',
          [constants.HTTP2_HEADER_PATH]: '/grpcfd.Doctor/Ask',
          [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
          [constants.HTTP2_HEADER_TE]: 'trailers',
          [ASKED]: value,
        });
        stream.on('response', (headers) => done(headers));
        stream.on('error', () => {});
        stream.resume();
        stream.end();
      });
    });
  } catch {
    return undefined;
  } finally {
    session?.destroy();
  }
}
