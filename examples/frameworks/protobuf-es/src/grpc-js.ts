// protobuf-es generates nothing for grpc-js. Its descriptors have all that grpc-js needs: copy this.
import {
  create,
  type DescMessage,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type * as grpc from '@grpc/grpc-js';

/** The definition of a service for grpc-js: for `addService()` and `makeGenericClientConstructor()`. */
export function definitionOf(service: DescService): grpc.ServiceDefinition {
  return Object.fromEntries(
    service.methods.map(({ name, localName, input, output, methodKind }) => [
      localName,
      {
        path: `/${service.typeName}/${name}`,
        requestStream: methodKind === 'client_streaming' || methodKind === 'bidi_streaming',
        responseStream: methodKind === 'server_streaming' || methodKind === 'bidi_streaming',
        ...conversions('request', input),
        ...conversions('response', output),
      } as grpc.MethodDefinition<unknown, unknown>,
    ]),
  );
}

function conversions(kind: 'request' | 'response', schema: DescMessage) {
  return {
    [`${kind}Serialize`]: (message: MessageInitShape<DescMessage>) =>
      Buffer.from(toBinary(schema, create(schema, message))),
    [`${kind}Deserialize`]: (bytes: Buffer): MessageShape<DescMessage> => fromBinary(schema, bytes),
  };
}
