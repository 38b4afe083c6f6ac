/** The client of a call, by the options of the command line. */
import { readFileSync } from 'node:fs';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from '../../index.js';
import { EXIT, Failure, oneLine, usage } from '../failure.js';
import type { CallArguments, Tls } from './arguments.js';

export function clientOf({ address, tls }: CallArguments): grpc.Client {
  const options: grpc.ClientOptions = {};
  if (tls?.serverName !== undefined) options['grpc.ssl_target_name_override'] = tls.serverName;
  return new grpc.Client(address, grpcfd.channelCredentials(securityOf(tls)), options);
}

function securityOf(tls: Tls | undefined): grpc.ChannelCredentials {
  if (tls === undefined) return grpc.credentials.createInsecure();
  const pem = (path: string | undefined) => (path === undefined ? null : contentOf(path));
  try {
    return grpc.credentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.cert));
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`the certificates cannot be used: ${oneLine(error)}`, EXIT.noInput, { cause: error });
  }
}

function contentOf(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Failure(oneLine(error), EXIT.noInput, { cause: error });
  }
}

export function metadataOf(pairs: CallArguments['metadata']): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [key, value] of pairs) {
    try {
      metadata.add(key, key.endsWith('-bin') ? Buffer.from(value, 'base64') : value);
    } catch (error) {
      throw usage(`--metadata: ${oneLine(error)}`);
    }
  }
  return metadata;
}
