import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import { anObject, check, grpcComplaint } from '../../checks.js';
import { type FileLook, lookAt } from '../../descriptor/file-look.js';
import { ReceivedFile } from '../../descriptor/received-file.js';
import { GrpcFdError } from '../../errors.js';
import type { CallScope } from '../../inbox/call-scope.js';
import type { ClaimEntry, DescriptorName, InodeName, SequenceName } from '../../inbox/names.js';
import { type ReceiveOptions, receive } from '../../inbox/pending-receive.js';
import { native } from '../../native/binding.js';
import type { Connection } from '../connection.js';
import { wrongConnection } from '../connection-failures.js';
import type { CountedFd } from '../counted-fd.js';
import { log } from '../diagnostics.js';
import type { FdServerCall } from '../fd-transceiver.js';
import {
  FDS_METADATA_KEY,
  type FdsMetadata,
  type FdsRun,
  formatAnswer,
  parseFdsMetadata,
} from '../fds-metadata.js';
import { addPeerToAuthContext } from '../internals/auth-context.js';
import { streamOf } from '../internals/http2-server.js';
import { addResponseHeader, addResponseTrailer } from '../internals/response-header.js';
import { MethodGuard, type MethodRule } from '../method-rules.js';
import type { Peer } from '../peer.js';
import { type ReceiveFileOptions, splitOptions } from '../receive-options.js';
import type { Reference } from '../reference.js';
import { Outcome, Sent, type SentFd } from '../send-outcome.js';
import { SentRanges } from '../sent-ranges.js';
import { noDescriptorSupport, Transceiver, UnsupportedTransceiver } from '../transceiver.js';

const connections = new WeakMap<object, Connection>();

const TRANSCEIVER = Symbol('grpcfd transceiver');
const GUARD = Symbol('grpcfd guard');

/**
 * What belongs to a call is on its stream. A WeakMap that is older than the call would keep the stream and all that belongs to it until the
 * next full collection, because V8 takes the values of such a map for reachable in its minor collections.
 */
interface CallStream extends ServerHttp2Stream {
  [TRANSCEIVER]?: ServerCallTransceiver;
  /** The rule of the call, if its method has one. */
  [GUARD]?: MethodGuard;
}

export function setConnectionOf(session: ServerHttp2Session, connection: Connection): void {
  connections.set(session, connection);
  addPeerToAuthContext(peerOf);
}

function peerOf(stream: ServerHttp2Stream): Peer | undefined {
  return connectionOf(stream)?.peer;
}

/**
 * {@link registerStream} for a server whose methods have rules. Returns why the call may not go on, if it breaks its rule. What came for it
 * is closed then.
 */
export function registerGuarded(
  stream: CallStream,
  headers: IncomingHttpHeaders,
  methods: Readonly<Record<string, MethodRule>>,
): GrpcFdError | undefined {
  const path = headers[':path'];
  const rule = path !== undefined && Object.hasOwn(methods, path) ? methods[path] : undefined;
  if (path !== undefined && rule !== undefined) stream[GUARD] = new MethodGuard(path, rule);
  registerStream(stream, headers);
  const transceiver = stream[TRANSCEIVER];
  if (transceiver?.refusal !== undefined) transceiver.end();
  return transceiver?.refusal;
}

/** For the 'stream' event of an HTTP/2 server. Claims what came for the call, and removes the metadata key before its handler runs. */
export function registerStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  const value = headers[FDS_METADATA_KEY];
  if (value === undefined) return;
  delete headers[FDS_METADATA_KEY];
  const connection = connectionOf(stream);
  if (connection === undefined) return;
  const metadata = parseFdsMetadata(value);
  if (metadata === undefined) {
    transceiverOf(stream, connection).distrust(malformedMetadata());
    return;
  }
  const answer = connection.learnOfClient(metadata.connectionId);
  if (metadata.isAnnouncement === true) return;
  const transceiver = transceiverOf(stream, connection);
  transceiver.answerOn(stream, answer);
  if (metadata.runs.length > 0) transceiver.claim(metadata);
}

function connectionOf(stream: ServerHttp2Stream): Connection | undefined {
  return stream.session === undefined ? undefined : connections.get(stream.session);
}

function transceiverOf(stream: CallStream, connection: Connection): ServerCallTransceiver {
  let transceiver = stream[TRANSCEIVER];
  if (transceiver === undefined) {
    const scope = connection.inbox.openCall();
    transceiver = new ServerCallTransceiver(connection, scope, stream[GUARD]);
    stream[TRANSCEIVER] = transceiver;
    if (stream.closed || stream.destroyed) scope.end();
    else stream.once('close', () => scope.end());
  }
  return transceiver;
}

/**
 * The transceiver of a call, in its handler or in a server interceptor. It is undefined if the call does not run over a connection that
 * carries descriptors. It receives descriptors that the call claims, and idle ones. Receives that still wait fail when the call ends.
 *
 * @param call the first argument of a handler of grpc-js, of any of the four kinds; the call that a server interceptor gets; or a request of
 * a node:http2 server
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` if it is none of these. Frameworks that hide the call have other ways:
 * see docs/frameworks.md
 */
export function tryFromCall(call: object): FdServerCall | undefined {
  check(grpcComplaint, 'call', call, anObject);
  const stream = streamOf(call);
  if (stream === undefined) throw notACall();
  return transceiverOn(stream);
}

/**
 * {@link tryFromCall}, which throws instead of returning undefined.
 *
 * @param call as for {@link tryFromCall}
 * @throws GrpcFdError `ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT`, `ERR_GRPCFD_INVALID_ARGUMENT`
 */
export function fromCall(call: object): FdServerCall {
  const transceiver = tryFromCall(call);
  if (transceiver === undefined) throw noDescriptorSupport();
  return transceiver;
}

/** Like {@link fromCall}, but returns a transceiver whose operations fail instead of throwing. The call may be that of a test. */
export function fromAnyCall(call: object): FdServerCall {
  const stream = streamOf(call);
  return (stream && transceiverOn(stream)) ?? new UnsupportedTransceiver(noDescriptorSupport);
}

function transceiverOn(stream: CallStream): FdServerCall | undefined {
  const known = stream[TRANSCEIVER];
  if (known !== undefined) return known;
  const connection = connectionOf(stream);
  if (connection !== undefined) return transceiverOf(stream, connection);
  if (log.enabled) log('a handler asked for descriptors of a call whose connection carries none');
  return undefined;
}

function notACall(): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_INVALID_ARGUMENT',
    'call must be what a handler of @grpc/grpc-js gets first, the call of a server interceptor, or a request of node:http2, and this object is ' +
      'none of them. Does a framework hide the call? docs/frameworks.md tells the way to it',
  );
}

interface Answering {
  readonly stream: ServerHttp2Stream;
  readonly connectionId: string;
}

class ServerCallTransceiver extends Transceiver implements FdServerCall {
  readonly #connection: Connection;
  readonly #scope: CallScope;
  /** The descriptors that the client attached to the call. */
  #attached: readonly FdsRun[] = [];
  /** Why the names of attached descriptors are not known. */
  #distrust: GrpcFdError | undefined;
  #answering: Answering | undefined;
  #sent: SentRanges | undefined;
  #tellsInTrailers = false;
  /** The rule of its method, if that has one. */
  readonly #guard: MethodGuard | undefined;
  /** Why the handler must not run. */
  refusal: GrpcFdError | undefined;

  constructor(connection: Connection, scope: CallScope, guard: MethodGuard | undefined) {
    super();
    this.#connection = connection;
    this.#scope = scope;
    this.#guard = guard;
  }

  /** The client understands what the response on `stream` tells: the id of the connection, and what was sent in the call. */
  answerOn(stream: ServerHttp2Stream, connectionId: string): void {
    this.#answering = { stream, connectionId };
    addResponseHeader(stream, FDS_METADATA_KEY, () => formatAnswer(connectionId, this.#sent?.all ?? []));
  }

  claim({ connectionId, runs }: FdsMetadata): void {
    if (connectionId !== this.#connection.sharedId) {
      this.distrust(relayedMetadata());
      return;
    }
    for (const { entries } of runs) this.#scope.claim(entries);
    this.#attached = runs;
    if (this.#guard !== undefined) this.refusal = this.#judge(this.#guard);
  }

  /** Looks at what came with the call. What has not come, or was not sent in the end, only fails its receive. */
  #judge(guard: MethodGuard): GrpcFdError | undefined {
    const names = this.#attached.flatMap(({ entries }) => entries).filter(({ sequence }) => sequence > 0);
    try {
      guard.attach(names.length);
      for (const name of names) {
        const fd = this.#connection.inbox.peek(name.sequence, this.#scope);
        if (fd !== undefined) guard.assertKind(fd);
      }
      return undefined;
    } catch (error) {
      this.#connection.callRefused(names.length, 'methods', error as GrpcFdError);
      return error as GrpcFdError;
    }
  }

  get connection(): Connection {
    return this.#connection;
  }

  /** Closes what came for the call, and ends its waits. */
  end(): void {
    this.#scope.end();
  }

  /** From now on, a receive by a name that only the metadata of the call could explain fails with `error`. */
  distrust(error: GrpcFdError): void {
    this.#distrust = error;
  }

  async *received(options?: Pick<ReceiveFileOptions, 'expect'>): AsyncIterableIterator<ReceivedFile> {
    const { expect } = splitOptions(options);
    if (this.#distrust !== undefined) throw this.#distrust;
    for (const { entries } of this.#attached) {
      for (const entry of entries) {
        if (this.#connection.inbox.hasHandedOver(entry.sequence)) continue;
        const name: SequenceName = { kind: 'sequence', ...entry };
        const { inbox } = this.#connection;
        // A look that fails leaves the descriptor for a receive by its name.
        let look: FileLook | undefined;
        inbox.check(name, this.#scope, (fd) => {
          look = lookAt(fd);
        });
        const fd = await receive(inbox, name, undefined, this.#scope);
        yield this.adopt(new ReceivedFile(fd, expect, look));
      }
    }
  }

  /** The end of the call also ends waits for what its files bring: nobody else may be there to end them. */
  protected override adopt(file: ReceivedFile): ReceivedFile {
    file.endWith(this.#scope);
    return file;
  }

  protected send(descriptor: CountedFd): SentFd {
    if (!this.#scope.ended) {
      const sent = this.#connection.sendNow(descriptor);
      if (this.#answering !== undefined) this.#tell(this.#connection.lastQueued, this.#answering);
      return sent;
    }
    const outcome = new Outcome();
    outcome.settle(new GrpcFdError('ERR_GRPCFD_CALL_ENDED', 'the call ended before the descriptor was sent'));
    descriptor.release();
    return new Sent(descriptor.url, descriptor.url, outcome);
  }

  protected receive(
    name: InodeName | Reference,
    options: ReceiveOptions | undefined,
  ): number | Promise<number> {
    const { inbox } = this.#connection;
    const known = this.#known(name);
    const other = this.#guard && this.#nameOfOther(known);
    if (other === undefined) return receive(inbox, known, options, this.#scope);
    this.#guard?.assertRoomFor(other);
    const received = receive(inbox, known, options, this.#scope);
    return typeof received === 'number'
      ? this.#vet(received, other)
      : received.then((fd) => this.#vet(fd, other));
  }

  protected take(name: Reference, keep: boolean): number;
  protected take(name: InodeName | Reference, keep: boolean): number | undefined;
  protected take(name: InodeName | Reference, keep: boolean): number | undefined {
    const known = this.#known(name);
    const other = this.#guard && this.#nameOfOther(known);
    if (other !== undefined) this.#guard?.assertRoomFor(other);
    const fd = this.#connection.inbox.take(known, this.#scope, keep);
    return fd === undefined || other === undefined ? fd : this.#vet(fd, other);
  }

  protected check(reference: Reference, look?: (fd: number) => void): void {
    const known = this.#known(reference);
    const other = this.#guard && this.#nameOfOther(known);
    if (other !== undefined) this.#guard?.assertRoomFor(other);
    this.#connection.inbox.check(known, this.#scope, (fd) => {
      if (other !== undefined) this.#guard?.assertKind(fd);
      look?.(fd);
    });
  }

  /** What was not attached to the call, so that the rule of its method is applied now. Undefined for what was. */
  #nameOfOther(name: DescriptorName): string | undefined {
    const isAttached = (entry: ClaimEntry): boolean =>
      name.kind === 'inode' ? entry.inode === name.inode : entry.sequence === name.sequence;
    if (this.#attached.some(({ entries }) => entries.some(isAttached))) return undefined;
    return name.kind === 'inode' ? name.inode : `${name.sequence}`;
  }

  /** @throws GrpcFdError `ERR_GRPCFD_UNEXPECTED_KIND`, `ERR_GRPCFD_RECEIVE_FAILED`. `fd` is closed then. */
  #vet(fd: number, name: string): number {
    try {
      this.#guard?.assertKind(fd);
    } catch (error) {
      native.close(fd);
      throw error;
    }
    this.#guard?.received(name);
    return fd;
  }

  #known(name: Reference): SequenceName;
  #known(name: InodeName | Reference): DescriptorName;
  #known(name: InodeName | Reference): DescriptorName {
    const known = name.kind === 'inode' ? name : this.#nameOf(name);
    if (known === undefined) throw this.#distrust ?? wrongConnection(name as Reference);
    return known;
  }

  /** What is sent before the headers is told in them. All is told again in the trailers if anything was sent after the headers. */
  #tell(sequence: number, { stream, connectionId }: Answering): void {
    this.#sent ??= new SentRanges();
    this.#sent.add(sequence);
    if (!stream.headersSent || this.#tellsInTrailers) return;
    this.#tellsInTrailers = true;
    const { all } = this.#sent;
    addResponseTrailer(stream, FDS_METADATA_KEY, () => formatAnswer(connectionId, all));
  }

  #nameOf(reference: Reference): SequenceName | undefined {
    const { id, number } = reference;
    for (const run of this.#attached) {
      const entry = run.id === id ? run.entries[number - run.number] : undefined;
      if (entry !== undefined) return { kind: 'sequence', ...entry };
    }
    return this.#connection.nameOf(reference);
  }
}

function malformedMetadata(): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_REFERENCE_MISMATCH',
    'the metadata of the call that names its descriptors is malformed',
  );
}

/** The metadata of a call that a proxy has copied from another call. */
function relayedMetadata(): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_WRONG_CONNECTION',
    'the metadata of the call that names its descriptors was made for another connection',
  );
}
