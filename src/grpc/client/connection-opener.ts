import type * as grpc from '@grpc/grpc-js';
import { causeText } from '../../error-text.js';
import { GrpcFdError } from '../../errors.js';
import { fdOfTarget, isInheritedNumber } from '../internals/fd-target.js';
import { proxiedTarget } from '../internals/no-proxy.js';
import { adoptConnection, takeSocket } from '../open-socket.js';
import type { FdChannelOptions } from '../options.js';

type Target = Parameters<grpc.ChannelCredentials['_createSecureConnector']>[0];

/** Gives a connected socket, which belongs to the caller. */
export type ConnectionOpener = () => Promise<number>;

/** Where the connections of a subchannel come from. Undefined: grpc-js makes them. */
export function openerFor(
  target: Target,
  connect: FdChannelOptions['connect'],
): ConnectionOpener | undefined {
  const path = fdOfTarget(target);
  if (path === undefined) return undefined;
  if (path === 'connect' && connect !== undefined) return () => openWith(connect);
  return async () => {
    if (isInheritedNumber(path)) return adoptConnection(Number(path));
    throw invalid(
      path === 'connect'
        ? 'the target fd:connect takes channelCredentials(inner, { connect })'
        : `fd:${path} is not a target: it is fd:N, with the number of an inherited socket, or fd:connect`,
    );
  };
}

async function openWith(connect: NonNullable<FdChannelOptions['connect']>): Promise<number> {
  let socket: unknown;
  try {
    socket = await connect();
  } catch (cause) {
    throw new Error(`connect() failed: ${causeText(cause)}`, { cause });
  }
  return takeSocket(socket, 'what connect() gave');
}

/**
 * Why a subchannel must not connect at all: `connect` was given for another target; or grpc-js could not be kept from a proxy
 * (`no-proxy.ts`), which would be asked for the name of a unix socket.
 */
export function refusalOf(
  target: Target,
  options: grpc.ChannelOptions,
  connect: FdChannelOptions['connect'],
): GrpcFdError | undefined {
  const proxied = proxiedTarget(options);
  if (proxied !== undefined) {
    return invalid(
      `${proxied} is on this machine, and grpc-js would ask an HTTP proxy for it: set the channel option grpc.enable_http_proxy to 0`,
    );
  }
  if (connect === undefined || fdOfTarget(target) === 'connect') return undefined;
  return invalid('channelCredentials(inner, { connect }) are for the target fd:connect alone');
}

function invalid(text: string): GrpcFdError {
  return new GrpcFdError('ERR_GRPCFD_INVALID_ARGUMENT', text);
}
