/** A client of grpc.reflection.v1, and of v1alpha, which differs in its name alone. */
import * as grpc from '@grpc/grpc-js';
import { explained, Failure, oneLine } from '../failure.js';
import { decodeFields, encodeBytes } from './wire.js';

const VERSIONS = ['grpc.reflection.v1', 'grpc.reflection.v1alpha'];

/** Field numbers of ServerReflectionRequest, ServerReflectionResponse and FileDescriptorProto. */
const REQUEST = { fileByFilename: 3, fileContainingSymbol: 4 } as const;
const RESPONSE = { fileDescriptors: 4, error: 7 } as const;
const FILE = { name: 1, dependency: 3 } as const;

const asIs = (bytes: Buffer) => bytes;

/**
 * The file that defines `symbol` and all that it imports, as a FileDescriptorSet.
 *
 * @throws Failure with the gRPC status as its exit code
 */
export async function reflect(
  client: grpc.Client,
  symbol: string,
  metadata: grpc.Metadata,
  options: grpc.CallOptions,
): Promise<Buffer> {
  for (const version of VERSIONS) {
    const path = `/${version}.ServerReflection/ServerReflectionInfo`;
    const call = client.makeBidiStreamRequest(path, asIs, asIs, metadata, options);
    try {
      return await filesOf(call, symbol);
    } catch (error) {
      if (error instanceof Failure) throw error;
      const { code = grpc.status.UNKNOWN, details } = error as Partial<grpc.StatusObject>;
      if (code === grpc.status.UNIMPLEMENTED) continue;
      throw new Failure(
        `reflection failed: ${grpc.status[code]}: ${explained(details ?? oneLine(error))}`,
        code,
      );
    } finally {
      call.cancel();
    }
  }
  throw new Failure(
    'the server has no reflection service: use --proto or --descriptor-set',
    grpc.status.UNIMPLEMENTED,
  );
}

async function filesOf(call: grpc.ClientDuplexStream<Buffer, Buffer>, symbol: string): Promise<Buffer> {
  // A cancel reports an error that nobody waits for.
  call.on('error', () => {});
  const responses = call[Symbol.asyncIterator]();
  const ask = async (field: number, name: string): Promise<Buffer[]> => {
    call.write(encodeBytes(field, name));
    const { done, value } = await responses.next();
    if (done) throw new Failure('reflection failed: the server sent no answer', grpc.status.UNKNOWN);
    return answer(value, name);
  };
  const files = new Map<string, Buffer>();
  const missing = new Set<string>();
  const add = (descriptors: readonly Buffer[]) => {
    for (const descriptor of descriptors) {
      const fields = decodeFields(descriptor);
      const texts = (wanted: number) =>
        fields.filter(({ number }) => number === wanted).map(({ bytes }) => bytes.toString());
      for (const name of texts(FILE.name)) files.set(name, descriptor);
      for (const name of texts(FILE.dependency)) missing.add(name);
    }
    for (const name of files.keys()) missing.delete(name);
  };
  add(await ask(REQUEST.fileContainingSymbol, symbol));
  for (;;) {
    const [name] = missing;
    if (name === undefined) break;
    missing.delete(name);
    add(await ask(REQUEST.fileByFilename, name));
  }
  return Buffer.concat([...files.values()].map((file) => encodeBytes(1, file)));
}

function answer(response: Buffer, asked: string): Buffer[] {
  const fields = decodeFields(response);
  const error = fields.find(({ number }) => number === RESPONSE.error);
  if (error !== undefined) {
    const parts = decodeFields(error.bytes);
    const code = parts.find(({ number }) => number === 1)?.value ?? grpc.status.UNKNOWN;
    const text = parts.find(({ number }) => number === 2)?.bytes.toString() ?? '';
    throw new Failure(`the server's reflection does not know ${asked}: ${oneLine(text)}`, code);
  }
  const found = fields.find(({ number }) => number === RESPONSE.fileDescriptors);
  return found === undefined ? [] : decodeFields(found.bytes).map(({ bytes }) => bytes);
}
