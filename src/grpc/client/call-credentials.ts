import * as grpc from '@grpc/grpc-js';
import { check, grpcComplaint, rule } from '../../checks.js';
import type { ReceivedFile } from '../../descriptor/received-file.js';
import type {
  FdTransceiver,
  NamesOf,
  ReceivedFiles,
  SendableFiles,
  SendFilenameOptions,
} from '../fd-transceiver.js';
import { takeAnswer } from '../fds-metadata.js';
import { type CallObserver, installCallHook } from '../internals/call-hook.js';
import { componentsOf, isEmptyCallCredentials } from '../internals/call-metadata.js';
import { calledByOtherCopy, fromOtherCopy } from '../internals/two-copies.js';
import type { ReceiveFileOptions, ReceiveFilesOptions } from '../receive-options.js';
import type { DescriptorSource } from '../reference.js';
import type { SentFd } from '../send-outcome.js';
import type { SendableObject } from '../sendable.js';
import { CallBoundCredentials, CombinedCallCredentials, isBound } from './attempt-binding.js';
import { CallLoad, ClientCall } from './client-call.js';
import { CredentialsTransceiver, credentialsClosed } from './credentials-transceiver.js';
import type { Holdings } from './holdings.js';

/** Call options with credentials among them. */
export type FdCallOptions = grpc.CallOptions & {
  /** Composed of the given credentials and the FdCallCredentials. */
  credentials: grpc.CallCredentials;
};

/**
 * Call credentials that carry descriptors, made by {@link callCredentials} for one call. A descriptor that is sent with them before the
 * call starts is attached to it: it goes with each attempt of the call, on the connection of that attempt. Descriptors that the server
 * sends are received with them, during the call and after it. If the server allows no further stream (`grpc.max_concurrent_streams`), the
 * call waits with its descriptors. When it ends while it waits, nothing was sent.
 *
 * The duplicate of an attached descriptor is closed when no attempt of the call can follow (its first response headers have come, or its
 * status), after `close()`, or after the credentials have been collected.
 *
 * The connection holds what the server sends in their calls, until a receive by `ref` hands it over, until `close()`, until their next call
 * starts while none runs, or until they are collected. What a receive gave to the caller stays the caller's.
 */
export class FdCallCredentials extends grpc.CallCredentials implements FdTransceiver {
  readonly #inner: grpc.CallCredentials;
  readonly #transceiver = new CredentialsTransceiver();

  /** @internal See {@link callCredentials}. */
  constructor(inner: grpc.CallCredentials) {
    super();
    this.#inner = inner;
    collected.register(this, this.#transceiver.holdings, this);
    installCallHook(hookCall);
  }

  /**
   * Call options that carry these credentials.
   *
   * @param base further options, such as a deadline. Credentials among them are kept, and composed with these. Default: none
   * @throws GrpcFdError `ERR_GRPCFD_TWO_COPIES` if these credentials are of another copy of grpc-js
   */
  options(base: grpc.CallOptions = {}): FdCallOptions {
    const others = base.credentials;
    const error = fromOtherCopy(others, 'CallCredentials');
    if (error !== undefined) throw error;
    if (others === undefined) return { ...base, credentials: this };
    if (componentsOf(others).includes(this)) return { ...base, credentials: others };
    return { ...base, credentials: others.compose(this) };
  }

  sendFd(fd: number): SentFd {
    return this.#transceiver.sendFd(fd);
  }

  sendFile(file: SendableObject): SentFd {
    return this.#transceiver.sendFile(file);
  }

  sendFilename(path: string, options?: SendFilenameOptions): SentFd {
    return this.#transceiver.sendFilename(path, options);
  }

  recvFd(source: DescriptorSource, options?: ReceiveFileOptions): Promise<number> {
    return this.#transceiver.recvFd(source, options);
  }

  recvFile(source: DescriptorSource, options?: ReceiveFileOptions): Promise<ReceivedFile> {
    return this.#transceiver.recvFile(source, options);
  }

  refs<Files extends SendableFiles<Files>>(files: Files): NamesOf<Files> {
    return this.#transceiver.refs(files);
  }

  urls<Files extends SendableFiles<Files>>(files: Files): NamesOf<Files> {
    return this.#transceiver.urls(files);
  }

  recvFiles<Field extends string>(
    message: Readonly<Record<Field, DescriptorSource>>,
    fields: readonly Field[],
    options?: ReceiveFilesOptions<Field>,
  ): Promise<ReceivedFiles<Field>> {
    return this.#transceiver.recvFiles(message, fields, options);
  }

  forward(from: FdTransceiver, source: DescriptorSource, options?: ReceiveFileOptions): Promise<SentFd> {
    return this.#transceiver.forward(from, source, options);
  }

  /**
   * Closes attached descriptors that were not sent yet, and fails receives that wait with `ERR_GRPCFD_CLOSED`. Descriptors that came for
   * the calls of these credentials, and that nobody received, are closed when no other credentials can receive them. Descriptors that
   * receives have given to you stay yours. Calls that run go on, and a receive of what they bring fails. Idempotent.
   */
  close(): void {
    this.#transceiver.close();
    collected.unregister(this);
  }

  /** {@link close}, for `using`. The block has to await its call: it ends before a callback of the call runs. */
  [Symbol.dispose](): void {
    this.close();
  }

  override generateMetadata(
    options: Parameters<grpc.CallCredentials['generateMetadata']>[0],
  ): Promise<grpc.Metadata> {
    if (!isBound(options)) {
      const error = calledByOtherCopy();
      if (error !== undefined) {
        this.#transceiver.callUnsupported(error);
        return Promise.reject(error);
      }
    }
    return this.#inner.generateMetadata(options);
  }

  override compose(other: grpc.CallCredentials): grpc.CallCredentials {
    return isEmptyCallCredentials(other) ? this : new CombinedCallCredentials([this, other]);
  }

  override _equals(other: grpc.CallCredentials): boolean {
    return this === other;
  }

  /** @internal For one more call that was given these credentials. */
  newCall(load: CallLoad): ClientCall {
    return new ClientCall(this.#transceiver, load);
  }
}

/**
 * Makes call credentials that carry descriptors. Give them to one call, with `credentials.options()` or composed with others, and send
 * and receive with them.
 *
 * @param inner credentials whose metadata is sent, too. Default: none. FdCallCredentials are returned as they are
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`, `ERR_GRPCFD_TWO_COPIES`
 */
export function callCredentials(
  inner: grpc.CallCredentials = grpc.credentials.createEmpty(),
): FdCallCredentials {
  const error = fromOtherCopy(inner, 'CallCredentials');
  if (error !== undefined) throw error;
  check(grpcComplaint, 'inner', inner, callCredentialsRule);
  return inner instanceof FdCallCredentials ? inner : new FdCallCredentials(inner);
}

const callCredentialsRule = rule(
  'a CallCredentials of the same @grpc/grpc-js',
  (value) => value instanceof grpc.CallCredentials,
);

/** The credentials in call options, or undefined. */
export function callCredentialsFromOptions(options: grpc.CallOptions): grpc.CallCredentials | undefined {
  return options.credentials;
}

/** The FdCallCredentials among the components of `credentials`: the last one where there are several, undefined where there is none. */
export function fromCallCredentials(credentials: grpc.CallCredentials): FdCallCredentials | undefined {
  return fdCredentialsIn(credentials).at(-1);
}

/** All FdCallCredentials among the components. Each is there once, also where it was composed twice. */
export function fdCredentialsIn(credentials: grpc.CallCredentials): FdCallCredentials[] {
  if (credentials instanceof FdCallCredentials) return [credentials];
  const found = componentsOf(credentials).filter((each) => each instanceof FdCallCredentials);
  return [...new Set(found)];
}

function hookCall(credentials: grpc.CallCredentials) {
  const found = fdCredentialsIn(credentials);
  if (found.length === 0) return undefined;
  const load = new CallLoad();
  const calls = found.map((each) => each.newCall(load));
  return { credentials: new CallBoundCredentials(credentials, calls), observer: observerOf(calls) };
}

function observerOf(calls: readonly ClientCall[]): CallObserver {
  return {
    started: () => {
      for (const call of calls) call.started();
    },
    committed: (headers) => {
      const answer = takeAnswer(headers);
      for (const call of calls) call.committed(answer);
    },
    ended: (trailers) => {
      // A response without headers has the answer in its trailers, and others may tell more there.
      const answer = takeAnswer(trailers);
      if (answer !== undefined) for (const call of calls) call.told(answer);
      for (const call of calls) call.ended();
    },
  };
}

/** Closes what is still open for credentials that were collected. */
const collected = new FinalizationRegistry<Holdings>((holdings) => {
  holdings.close(() => credentialsClosed('were collected'));
});
