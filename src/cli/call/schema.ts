/** Loads the definition of a method with `@grpc/proto-loader`, an optional peer dependency. */
import * as grpc from '@grpc/grpc-js';
import type * as protoLoader from '@grpc/proto-loader';
import { protoLoaderFrom } from '../doctor/copies.js';
import { EXIT, Failure, oneLine, packageMissing, usage } from '../failure.js';
import type { Source } from './arguments.js';
import type { Deadline } from './deadline.js';
import { readInput } from './files.js';
import { type MessageType, MessageTypes } from './message-type.js';
import { statusFailure } from './status.js';

export interface Method {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestType: MessageType;
  readonly responseType: MessageType;
  readonly serialize: (message: object) => Buffer;
  readonly deserialize: (bytes: Buffer) => object;
}

/** Fields have the names of the .proto file. What JSON cannot hold is text, as in the JSON form of protocol buffers. */
const LOADING = { keepCase: true, longs: String, enums: String, bytes: String, json: true } as const;

/** @param reflect gives a FileDescriptorSet of the server */
export async function loadMethod(
  source: Source,
  service: string,
  name: string,
  deadline: Deadline,
  reflect: () => Promise<Buffer>,
): Promise<Method> {
  const loader = protoLoaderOrFail();
  const definition = await definitionFrom(loader, source, deadline, reflect);
  const found = definition[service];
  if (found === undefined || 'format' in found) {
    throw usage(
      `there is no service ${service}. There ${listed(Object.keys(definition).filter((key) => !('format' in (definition[key] ?? {}))))}`,
    );
  }
  const method = Object.values(found).find((each) => each.path.endsWith(`/${name}`));
  if (method === undefined) {
    const names = Object.values(found).map(({ path }) => path.slice(path.lastIndexOf('/') + 1));
    throw usage(`${service} has no method ${name}. There ${listed(names)}`);
  }
  const types = new MessageTypes(definition);
  const typeOf = ({ type }: protoLoader.MessageTypeDefinition<object, object>) => types.of(type, service);
  return {
    path: method.path,
    requestStream: method.requestStream,
    responseStream: method.responseStream,
    requestType: typeOf(method.requestType),
    responseType: typeOf(method.responseType),
    serialize: method.requestSerialize,
    deserialize: method.responseDeserialize,
  };
}

function listed(names: readonly string[]): string {
  return names.length === 1 ? `is ${names[0]}` : `are ${names.join(', ') || 'none'}`;
}

function protoLoaderOrFail(): typeof protoLoader {
  const file = protoLoaderFrom();
  if (file !== undefined) return require(file);
  throw packageMissing('@grpc/proto-loader');
}

async function definitionFrom(
  loader: typeof protoLoader,
  source: Source,
  deadline: Deadline,
  reflect: () => Promise<Buffer>,
): Promise<protoLoader.PackageDefinition> {
  if (source.kind === 'reflection') return fromServer(loader, await reflect());
  const set = source.kind === 'descriptor set' ? await readInput(source.file, deadline) : Buffer.alloc(0);
  try {
    if (source.kind === 'proto') {
      const options = { ...LOADING, includeDirs: [...source.include, '.'] };
      return withoutWarnings(() => loader.loadSync([...source.files], options));
    }
    return loader.loadFileDescriptorSetFromBuffer(set, LOADING);
  } catch (error) {
    const names = source.kind === 'proto' ? source.files.join(', ') : source.file;
    throw new Failure(`${names} cannot be loaded: ${oneLine(error)}`, EXIT.noInput, { cause: error });
  }
}

function fromServer(loader: typeof protoLoader, set: Buffer): protoLoader.PackageDefinition {
  try {
    return loader.loadFileDescriptorSetFromBuffer(set, LOADING);
  } catch (error) {
    const text = `the server's reflection sent files that cannot be loaded: ${oneLine(error)}`;
    throw statusFailure(grpc.status.INTERNAL, (status) => `${status}: ${text}`);
  }
}

/** proto-loader warns of a file that it does not find, and its error says the same. */
function withoutWarnings<Result>(load: () => Result): Result {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return load();
  } finally {
    process.emitWarning = emitWarning;
  }
}
