/** The service of a soak: four methods whose messages name descriptors and carry bytes. */
import type { ServiceDefinition } from '@grpc/grpc-js';
import { randomFrom } from '../support/random.js';
import type { ItemKind } from './items.js';

export const RPCS = ['unary', 'clientStream', 'serverStream', 'bidi'] as const;
export type Rpc = (typeof RPCS)[number];

export interface ItemPlan {
  readonly kind: ItemKind;
  /** Whether it is received. Otherwise the package has to close it. */
  readonly take: boolean;
}

/** What a message is to have. */
export interface MessagePlan {
  readonly items: readonly ItemPlan[];
  readonly bytes: number;
}

/** A descriptor that came with a message. */
export interface FileNote extends ItemPlan {
  readonly name: string;
  /** What the file must have in it. */
  readonly token: string;
}

export interface SoakMessage {
  /** Of the call. */
  readonly id: string;
  readonly files: readonly FileNote[];
  /** In the first request: receive what is attached in order, and not by name. */
  readonly inOrder?: boolean;
  /** In a request: how long the handler waits before it answers. */
  readonly delayMs?: number;
  /** In a request: the handler does not answer before the call is cancelled. A planted fault. */
  readonly hangs?: boolean | undefined;
  /** In a request: the replies to send for it. */
  readonly replies?: readonly MessagePlan[];
  readonly body: Buffer;
}

export const MAX_BODY_BYTES = 3 * 2 ** 20;

/** All bodies are parts of these bytes, which every process makes for itself. */
const BYTES = Buffer.alloc(MAX_BODY_BYTES + 256);
const random = randomFrom(1);
for (let at = 0; at < BYTES.length; at += 4) BYTES.writeUInt32LE(random(2 ** 32), at);

export function bodyOf(size: number): Buffer {
  return BYTES.subarray(size % 256, (size % 256) + size);
}

export function isBody(body: Buffer): boolean {
  return body.equals(bodyOf(body.length));
}

const LENGTH_BYTES = 4;

function serialize({ body, ...head }: SoakMessage): Buffer {
  const text = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(text.length);
  return Buffer.concat([length, text, body]);
}

function deserialize(bytes: Buffer): SoakMessage {
  const end = LENGTH_BYTES + bytes.readUInt32LE();
  return { ...JSON.parse(bytes.toString('utf8', LENGTH_BYTES, end)), body: bytes.subarray(end) };
}

function method(name: string, requestStream: boolean, responseStream: boolean) {
  return {
    path: `/grpcfd.soak.Soak/${name}`,
    requestStream,
    responseStream,
    requestSerialize: serialize,
    requestDeserialize: deserialize,
    responseSerialize: serialize,
    responseDeserialize: deserialize,
  };
}

export const soakService = {
  unary: method('Unary', false, false),
  clientStream: method('ClientStream', true, false),
  serverStream: method('ServerStream', false, true),
  bidi: method('Bidi', true, true),
} satisfies ServiceDefinition;
