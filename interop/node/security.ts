/** The credentials of each security that the interop peers speak; the counterpart of `internal/security` of the Go peers. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';

/**
 * Of the two without encryption, the server wraps no credentials in `plaintext` and insecure ones in `insecure`, the client the
 * other way round; on the wire they are the same.
 */
export const SECURITIES = ['plaintext', 'insecure', 'tls', 'mtls'] as const;
export type Security = (typeof SECURITIES)[number];

const TOKEN_KEY = 'authorization';
const TOKEN = 'Bearer interop';

export function serverCredentials(
  security: Security,
  certs: string,
  options: grpcfd.FdServerOptions = {},
): grpc.ServerCredentials {
  if (security === 'plaintext') return grpcfd.serverCredentials(undefined, options);
  if (security === 'insecure') {
    return grpcfd.serverCredentials(grpc.ServerCredentials.createInsecure(), options);
  }
  const pair = { private_key: pem(certs, 'server.key'), cert_chain: pem(certs, 'server.pem') };
  return grpcfd.serverCredentials(
    grpc.ServerCredentials.createSsl(pem(certs, 'ca.pem'), [pair], security === 'mtls'),
    options,
  );
}

export function channelCredentials(
  security: Security,
  certs: string,
  options: grpcfd.FdConnectionOptions = {},
): grpc.ChannelCredentials {
  const authority = () => pem(certs, 'ca.pem');
  switch (security) {
    case 'plaintext':
      return grpcfd.channelCredentials(grpc.credentials.createInsecure(), options);
    case 'insecure':
      return grpcfd.channelCredentials(undefined, options);
    case 'tls':
      return grpcfd.channelCredentials(grpc.credentials.createSsl(authority()), options);
    case 'mtls': {
      const own = grpc.credentials.createSsl(authority(), pem(certs, 'client.key'), pem(certs, 'client.pem'));
      return grpcfd.channelCredentials(own, options).compose(token());
    }
  }
}

/** The credentials of one call. The token comes with the channel in mutual TLS, in TLS with each call. */
export function callCredentials(security: Security): grpcfd.FdCallCredentials {
  return grpcfd.callCredentials(security === 'tls' ? token() : undefined);
}

/** Throws if a call needs the token and does not have it. */
export function checkToken(security: Security, metadata: grpc.Metadata): void {
  if (security !== 'tls' && security !== 'mtls') return;
  const tokens = metadata.get(TOKEN_KEY);
  if (tokens.length === 1 && tokens[0] === TOKEN) return;
  throw Object.assign(new Error(`the call came with ${tokens.length} tokens`), {
    code: grpc.status.UNAUTHENTICATED,
  });
}

function token(): grpc.CallCredentials {
  return grpc.credentials.createFromMetadataGenerator((_options, callback) => {
    const metadata = new grpc.Metadata();
    metadata.set(TOKEN_KEY, TOKEN);
    callback(null, metadata);
  });
}

function pem(certs: string, name: string): Buffer {
  return readFileSync(join(certs, name));
}
