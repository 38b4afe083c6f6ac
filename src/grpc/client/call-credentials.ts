import * as grpc from '@grpc/grpc-js';
import type { ReceivedFile } from '../../descriptor/received-file.js';
import type { ReceiveOptions } from '../../inbox/pending-receive.js';
import { takeAnswer } from '../fds-metadata.js';
import { type CallObserver, installCallHook } from '../internals/call-hook.js';
import { componentsOf, isEmptyCallCredentials } from '../internals/call-metadata.js';
import type { DescriptorSource } from '../reference.js';
import type { SentFd } from '../send-outcome.js';
import type {
  FdTransceiver,
  NamesOf,
  ReceivedFiles,
  SendableFiles,
  SendFilenameOptions,
} from '../transceiver.js';
import { CallBoundCredentials, CombinedCallCredentials } from './attempt-binding.js';
import { ClientCall } from './client-call.js';
import { CredentialsTransceiver, credentialsClosed } from './credentials-transceiver.js';
import type { Holdings } from './holdings.js';

/**
 * Call credentials that carry descriptors: what is sent with them before a call goes with that call, on the connection that
 * its stream takes; what comes back is received from them, during the call and after it. Make them anew for each call.
 *
 * What was sent is kept until no attempt of the call can follow (its first response headers, or its status), for
 * retries; or until `close()`, or until the credentials are collected.
 */
export class FdCallCredentials extends grpc.CallCredentials implements FdTransceiver {
  readonly #inner: grpc.CallCredentials;
  readonly #transceiver = new CredentialsTransceiver();

  /** @internal See {@link callCredentials}. */
  constructor(inner: grpc.CallCredentials) {
    super();
    this.#inner = inner;
    collected.register(this, this.#transceiver.holdings);
    installCallHook(hookCall);
  }

  /**
   * Call options that carry these credentials: `base`, its own credentials kept and composed with these. `interceptors` are
   * never set: those of a call would replace the client's.
   */
  options(base: grpc.CallOptions = {}): grpc.CallOptions & { credentials: grpc.CallCredentials } {
    const others = base.credentials;
    if (others === undefined) return { ...base, credentials: this };
    if (componentsOf(others).includes(this)) return { ...base, credentials: others };
    return { ...base, credentials: others.compose(this) };
  }

  sendFd(fd: number): SentFd {
    return this.#transceiver.sendFd(fd);
  }

  sendFile(file: { readonly fd: number }): SentFd {
    return this.#transceiver.sendFile(file);
  }

  sendFilename(path: string, options?: SendFilenameOptions): SentFd {
    return this.#transceiver.sendFilename(path, options);
  }

  recvFd(source: DescriptorSource, options?: ReceiveOptions): Promise<number> {
    return this.#transceiver.recvFd(source, options);
  }

  recvFile(source: DescriptorSource, options?: ReceiveOptions): Promise<ReceivedFile> {
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
    options?: ReceiveOptions,
  ): Promise<ReceivedFiles<Field>> {
    return this.#transceiver.recvFiles(message, fields, options);
  }

  forward(from: FdTransceiver, source: DescriptorSource, options?: ReceiveOptions): Promise<SentFd> {
    return this.#transceiver.forward(from, source, options);
  }

  /**
   * Closes what was not sent, ends what waits with `ERR_GRPCFD_CLOSED`, and gives up what came for the calls of these credentials and
   * was not received: the connection closes it when nobody else can receive it. Yours stays yours. Calls that run go on. Idempotent.
   */
  close(): void {
    this.#transceiver.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  override generateMetadata(
    options: Parameters<grpc.CallCredentials['generateMetadata']>[0],
  ): Promise<grpc.Metadata> {
    return this.#inner.generateMetadata(options);
  }

  override compose(other: grpc.CallCredentials): grpc.CallCredentials {
    return isEmptyCallCredentials(other) ? this : new CombinedCallCredentials([this, other]);
  }

  override _equals(other: grpc.CallCredentials): boolean {
    return this === other;
  }

  /** @internal One more call that was given these credentials. */
  newUse(): ClientCall {
    return new ClientCall(this.#transceiver);
  }
}

/**
 * Call credentials that carry descriptors, around `inner`, whose metadata they keep.
 * Given to a call, alone or composed with others, they are its {@link FdTransceiver}.
 */
export function callCredentials(
  inner: grpc.CallCredentials = grpc.credentials.createEmpty(),
): FdCallCredentials {
  return inner instanceof FdCallCredentials ? inner : new FdCallCredentials(inner);
}

/** The credentials that call options carry, or undefined. */
export function callCredentialsFromOptions(options: grpc.CallOptions): grpc.CallCredentials | undefined {
  return options.credentials;
}

/** The transceiver inside credentials, composed ones too; the last one where there are several. Undefined without one. */
export function fromCallCredentials(credentials: grpc.CallCredentials): FdCallCredentials | undefined {
  return fdCredentialsIn(credentials).at(-1);
}

/** Each once, also where credentials were given twice. */
export function fdCredentialsIn(credentials: grpc.CallCredentials): FdCallCredentials[] {
  if (credentials instanceof FdCallCredentials) return [credentials];
  const found = componentsOf(credentials).filter((each) => each instanceof FdCallCredentials);
  return [...new Set(found)];
}

function hookCall(credentials: grpc.CallCredentials) {
  const found = fdCredentialsIn(credentials);
  if (found.length === 0) return undefined;
  const uses = found.map((each) => each.newUse());
  return { credentials: new CallBoundCredentials(credentials, uses), observer: observerOf(uses) };
}

function observerOf(uses: readonly ClientCall[]): CallObserver {
  return {
    started: () => {
      for (const use of uses) use.started();
    },
    committed: (headers) => {
      const answer = takeAnswer(headers);
      for (const use of uses) use.committed(answer);
    },
    ended: (trailers) => {
      // A response without headers has it in its trailers.
      takeAnswer(trailers);
      for (const use of uses) use.ended();
    },
  };
}

/** Closes what credentials that nobody has any more left behind. */
const collected = new FinalizationRegistry<Holdings>((holdings) => {
  holdings.close(() => credentialsClosed('were collected'));
});
