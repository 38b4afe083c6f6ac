/** The fields of messages, from the descriptors that `@grpc/proto-loader` gives. */
import type * as protoLoader from '@grpc/proto-loader';

interface FieldDescriptor {
  readonly name: string;
  readonly label: string;
  readonly type: string;
  readonly typeName: string;
}

interface MessageDescriptor {
  readonly name: string;
  readonly field: readonly FieldDescriptor[];
  readonly nestedType: readonly MessageDescriptor[];
  readonly options?: { readonly mapEntry?: boolean } | null;
}

export interface Field {
  readonly name: string;
  /** A list. A map is none. */
  readonly repeated: boolean;
  readonly isString: boolean;
  readonly isMap: boolean;
  /** The type of the message in it; undefined for other values, for maps, and for types that are not known. */
  readonly message: MessageType | undefined;
}

export interface MessageType {
  readonly name: string;
  /** The fields, by their names in the .proto file and by their names in JSON. */
  field(name: string): Field | undefined;
  readonly fields: readonly Field[];
  /** It has a form of its own in JSON: google.protobuf.Any and others. */
  readonly isOpen: boolean;
}

export class MessageTypes {
  readonly #descriptors = new Map<string, MessageDescriptor>();
  readonly #types = new Map<string, MessageType>();

  constructor(definition: protoLoader.PackageDefinition) {
    for (const [name, each] of Object.entries(definition)) {
      if ('format' in each && 'field' in (each.type as object))
        this.#add(name, each.type as MessageDescriptor);
    }
  }

  #add(name: string, descriptor: MessageDescriptor): void {
    this.#descriptors.set(name, descriptor);
    for (const nested of descriptor.nestedType) this.#add(`${name}.${nested.name}`, nested);
  }

  /** `scope` is the full name of a service or message in whose place names are looked up. */
  of(type: object, scope: string): MessageType {
    const descriptor = type as MessageDescriptor;
    // The loader makes a descriptor for each use of a type, and they tell no package.
    const same = [...this.#descriptors].filter(([, each]) => sameFields(each, descriptor));
    const [name] = same.find(([each]) => each === this.#nameIn(scope, descriptor.name)) ?? same[0] ?? [];
    return this.#make(name ?? descriptor.name, descriptor);
  }

  #nameIn(scope: string, name: string): string | undefined {
    if (name.startsWith('.')) return name.slice(1);
    for (let prefix = scope; ; prefix = prefix.slice(0, Math.max(0, prefix.lastIndexOf('.')))) {
      const full = prefix === '' ? name : `${prefix}.${name}`;
      if (this.#descriptors.has(full)) return full;
      if (prefix === '') return undefined;
    }
  }

  #make(name: string, descriptor: MessageDescriptor): MessageType {
    const known = this.#types.get(name);
    if (known !== undefined) return known;
    const fields = new Map<string, Field>();
    const all: Field[] = [];
    const made = {
      name,
      fields: all,
      isOpen: name.startsWith('google.protobuf.'),
      field: (each: string) => fields.get(each),
    };
    this.#types.set(name, made);
    for (const each of descriptor.field) {
      const field = this.#field(each, name);
      all.push(field);
      fields.set(field.name, field);
      const json = camelCase(field.name);
      if (!fields.has(json)) fields.set(json, field);
    }
    return made;
  }

  #field({ name, label, type, typeName }: FieldDescriptor, scope: string): Field {
    const full = type === 'TYPE_MESSAGE' || type === 'TYPE_GROUP' ? this.#nameIn(scope, typeName) : undefined;
    const descriptor = full === undefined ? undefined : this.#descriptors.get(full);
    const isMap = descriptor?.options?.mapEntry === true;
    return {
      name,
      isMap,
      repeated: label === 'LABEL_REPEATED' && !isMap,
      isString: type === 'TYPE_STRING',
      message:
        full === undefined || descriptor === undefined || isMap ? undefined : this.#make(full, descriptor),
    };
  }
}

function sameFields(a: MessageDescriptor, b: MessageDescriptor): boolean {
  const text = ({ field }: MessageDescriptor) => field.map(({ name, type }) => `${name} ${type}`).join();
  return a.name === b.name && text(a) === text(b);
}

function camelCase(name: string): string {
  return name.replace(/_+(\w)/g, (_, letter: string) => letter.toUpperCase());
}
