/** A client of grpc.reflection.v1, and of v1alpha, which differs in its name alone. */
import * as grpc from '@grpc/grpc-js';
import { explained, Failure, oneLine } from '../failure.js';
import { statusFailure } from './status.js';
import { decodeFields, encodeBytes } from './wire.js';

const VERSIONS = ['grpc.reflection.v1', 'grpc.reflection.v1alpha'];

/** Field numbers of ServerReflectionRequest, ServerReflectionResponse and FileDescriptorProto. */
const REQUEST = { fileByFilename: 3, fileContainingSymbol: 4 } as const;
const RESPONSE = { fileDescriptors: 4, error: 7 } as const;
const FILE = { name: 1, dependency: 3 } as const;

/**
 * A server decides what it is asked for, and could go on for ever. 10 000 questions take about half a second: 264,249 were answered in 15 s.
 * The files make one message, and protobuf read messages of at most 64 MiB until version 3.6. A single answer has the limit of grpc-js, 4 MiB.
 */
const MAX_QUESTIONS = 10_000;
const MAX_BYTES = 64 * 1024 * 1024;

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
      const text = explained(details ?? oneLine(error));
      throw statusFailure(code, (status) => `reflection failed: ${status}: ${text}`);
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
  const asked = new Set<string>();
  const ask = async (field: number, name: string): Promise<Buffer[]> => {
    asked.add(name);
    if (asked.size > MAX_QUESTIONS) throw tooMuch(`${MAX_QUESTIONS} files`);
    call.write(encodeBytes(field, name));
    const { done, value } = await responses.next();
    if (done) throw new Failure('reflection failed: the server sent no answer', grpc.status.UNKNOWN);
    return answer(value, name);
  };
  const files = new Map<string, Buffer>();
  const missing = new Set<string>();
  let bytes = 0;
  const add = (descriptors: readonly Buffer[]) => {
    for (const descriptor of descriptors) {
      bytes += descriptor.length;
      if (bytes > MAX_BYTES) throw tooMuch(`${MAX_BYTES} bytes`);
      const fields = decodeFields(descriptor);
      const texts = (wanted: number) =>
        fields.filter(({ number }) => number === wanted).map((field) => field.bytes.toString());
      for (const name of texts(FILE.name)) files.set(name, descriptor);
      for (const name of texts(FILE.dependency)) missing.add(name);
    }
    for (const name of files.keys()) missing.delete(name);
  };
  add(await ask(REQUEST.fileContainingSymbol, symbol));
  asked.clear(); // The symbol does not name a file.
  for (;;) {
    const [name] = missing;
    if (name === undefined) break;
    missing.delete(name);
    // An answer may have another file in place of the one that was asked for.
    if (!asked.has(name)) add(await ask(REQUEST.fileByFilename, name));
  }
  return Buffer.concat([...files.values()].map((file) => encodeBytes(1, file)));
}

function tooMuch(limit: string): Failure {
  const code = grpc.status.RESOURCE_EXHAUSTED;
  return statusFailure(
    code,
    (status) => `reflection failed: ${status}: the server names more than ${limit} that define the service`,
  );
}

function answer(response: Buffer, asked: string): Buffer[] {
  const fields = decodeFields(response);
  const error = fields.find(({ number }) => number === RESPONSE.error);
  if (error !== undefined) {
    const parts = decodeFields(error.bytes);
    const code = parts.find(({ number }) => number === 1)?.value ?? grpc.status.UNKNOWN;
    const text = parts.find(({ number }) => number === 2)?.bytes.toString() ?? '';
    throw statusFailure(
      code,
      (status) => `the server's reflection does not know ${asked}: ${status}: ${oneLine(text)}`,
    );
  }
  const found = fields.find(({ number }) => number === RESPONSE.fileDescriptors);
  return found === undefined ? [] : decodeFields(found.bytes).map(({ bytes }) => bytes);
}
