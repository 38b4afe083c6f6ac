/** Self-signed certificates for a server and a client, made once for each test process. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { temporaryDirectory } from './temporary.js';

export interface KeyPair {
  readonly key: Buffer;
  readonly cert: Buffer;
}

export interface Certificates {
  readonly server: KeyPair;
  readonly client: KeyPair;
}

/** The environment variable that names a file with the certificates of the parent process. */
const SHARED = 'GRPCFD_TEST_CERTIFICATES';

let made: Promise<Certificates> | undefined;

export function certificates(): Promise<Certificates> {
  const { [SHARED]: shared } = process.env;
  made ??= shared === undefined ? make() : Promise.resolve(read(shared));
  return made;
}

/** Environment variables for a fixture that uses TLS with this process. */
export function sharedCertificates(): Promise<NodeJS.ProcessEnv> {
  return shareCertificates(join(temporaryDirectory(), 'certificates.json'));
}

/** {@link sharedCertificates}, in a file that the caller removes. */
export async function shareCertificates(path: string): Promise<NodeJS.ProcessEnv> {
  writeFileSync(path, JSON.stringify(await certificates()));
  return { [SHARED]: path };
}

function read(path: string): Certificates {
  return JSON.parse(readFileSync(path, 'utf8'), (_key, value) =>
    value?.type === 'Buffer' ? Buffer.from(value.data) : value,
  );
}

async function make(): Promise<Certificates> {
  // It takes a while to load, and most processes have no use for it. It is not imported, because import() of Node.js 22 and 24 may give an empty
  // object where node_modules is a symbolic link.
  const selfsigned = createRequire(import.meta.url)('selfsigned') as typeof import('selfsigned');
  const [server, client] = await Promise.all([keyPair(selfsigned), keyPair(selfsigned)]);
  return { server, client };
}

async function keyPair({ generate }: typeof import('selfsigned')): Promise<KeyPair> {
  const attributes = [{ name: 'commonName', value: 'localhost' }];
  const { private: key, cert } = await generate(attributes, {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
  });
  return { key: Buffer.from(key), cert: Buffer.from(cert) };
}
