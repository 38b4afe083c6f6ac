/** Self-signed certificates for a server and a client, made once for each test process. */
import { generate } from 'selfsigned';

export interface KeyPair {
  readonly key: Buffer;
  readonly cert: Buffer;
}

export interface Certificates {
  readonly server: KeyPair;
  readonly client: KeyPair;
}

let made: Promise<Certificates> | undefined;

export function certificates(): Promise<Certificates> {
  made ??= make();
  return made;
}

async function make(): Promise<Certificates> {
  const [server, client] = await Promise.all([keyPair(), keyPair()]);
  return { server, client };
}

async function keyPair(): Promise<KeyPair> {
  const attributes = [{ name: 'commonName', value: 'localhost' }];
  const { private: key, cert } = await generate(attributes, {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
  });
  return { key: Buffer.from(key), cert: Buffer.from(cert) };
}
