/** Paths of fields in messages: `file`, `inner.file`, `files`, `files.url`, `files.0.url`. */
import { quotePeerText } from '../../error-text.js';
import { usage } from '../failure.js';
import type { Field, MessageType } from './message-type.js';

export type Message = Record<string, unknown>;

const INDEX = /^\d+$/;

/** A call carries at most 1024 descriptors (`maxFdsPerCall`), and elements in front of an index are made. */
const MAX_INDEX = 1023;

/** Fails unless the path leads to a string. An index may follow a list. */
export function checkPath(path: string, type: MessageType): void {
  const tooHigh = path.split('.').find((part) => INDEX.test(part) && Number(part) > MAX_INDEX);
  if (tooHigh !== undefined) {
    throw usage(`the index ${quotePeerText(tooHigh)} of the field ${path} is more than ${MAX_INDEX}`);
  }
  let at: MessageType | undefined = type;
  let field: Field | undefined;
  for (const part of path.split('.')) {
    if (INDEX.test(part) && field?.repeated) continue;
    if (at?.isOpen) return;
    field = at?.field(part);
    if (at === undefined || field === undefined) {
      const where = part === path ? '' : ` (${path})`;
      const owner = at === type ? 'Its strings' : `The strings of ${type.name}`;
      throw usage(`${at?.name ?? 'what is not a message'} has no field ${part}${where}${hint(type, owner)}`);
    }
    at = field.message;
  }
  if (!field?.isString)
    throw usage(
      `the field ${path} of ${type.name} is not a string${hint(type, `The strings of ${type.name}`)}`,
    );
}

function hint(type: MessageType, owner: string): string {
  const names = stringsIn(type, '', []);
  return names.length === 0 ? '' : `. ${owner} are: ${names.join(', ')}`;
}

function stringsIn(type: MessageType, before: string, above: readonly MessageType[]): string[] {
  if (above.includes(type)) return [];
  return type.fields.flatMap(({ name, isString, message }) => {
    if (isString) return [before + name];
    return message === undefined ? [] : stringsIn(message, `${before}${name}.`, [...above, type]);
  });
}

/** A copy of the message in which all fields have their names of the .proto file. Fails where one does not exist. */
export function checkMessage(value: unknown, type: MessageType): Message {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw usage(`a message of the type ${type.name} is an object in JSON, not ${quotePeerText(value)}`);
  }
  const entries = Object.entries(value);
  if (type.isOpen) return Object.fromEntries(entries);
  return Object.fromEntries(
    entries.map(([name, each]) => {
      const field = type.field(name);
      if (field === undefined) {
        const names = type.fields.map((known) => known.name).join(', ');
        throw usage(`${type.name} has no field ${name}. Its fields are ${names || 'none'}`);
      }
      return [field.name, checkValue(each, field)];
    }),
  );
}

function checkValue(value: unknown, { name, repeated, message }: Field): unknown {
  if (value === null) return undefined;
  if (repeated && !Array.isArray(value)) throw usage(`the field ${name} is a list`);
  if (message === undefined) return value;
  return repeated
    ? (value as unknown[]).map((each) => checkMessage(each, message))
    : checkMessage(value, message);
}

/** Puts names into messages, each into a place of its own. */
export class NameWriter {
  readonly #taken = new Map<object, Set<string | number>>();

  /** False, and nothing happens, where every place of the path has a name. */
  put(message: Message, type: MessageType, path: string, name: string): boolean {
    return this.#put(message, type, path.split('.'), name);
  }

  #put(message: Message, type: MessageType, [part = '', ...rest]: readonly string[], name: string): boolean {
    const field = type.field(part);
    if (field === undefined) return false;
    if (field.repeated) return this.#putIntoList(message, field, rest, name);
    if (rest.length === 0) return this.#take(message, field.name, name);
    if (field.message === undefined) return false;
    message[field.name] ??= {};
    return this.#put(message[field.name] as Message, field.message, rest, name);
  }

  #putIntoList(message: Message, field: Field, rest: readonly string[], name: string): boolean {
    message[field.name] ??= [];
    const list = message[field.name] as unknown[];
    const [index = '', ...behind] = rest;
    if (field.message === undefined) {
      if (rest.length === 0) return list.push(name) > 0;
      return this.#take(list, Number(index), name);
    }
    if (INDEX.test(index)) {
      while (list.length <= Number(index)) list.push({});
      return this.#put(list[Number(index)] as Message, field.message, behind, name);
    }
    const { message: type } = field;
    if (list.some((each) => this.#put(each as Message, type, rest, name))) return true;
    const added: Message = {};
    list.push(added);
    return this.#put(added, type, rest, name);
  }

  #take<Key extends string | number>(owner: Record<Key, unknown>, key: Key, name: string): boolean {
    const taken = this.#taken.get(owner) ?? new Set<string | number>();
    if (taken.has(key)) return false;
    this.#taken.set(owner, taken.add(key));
    owner[key] = name;
    return true;
  }
}

/** The names at a path of a message. Empty ones name nothing. */
export function namesAt(value: unknown, path: readonly string[]): string[] {
  const [part, ...rest] = path;
  if (Array.isArray(value)) {
    if (part !== undefined && INDEX.test(part)) return namesAt(value[Number(part)], rest);
    return value.flatMap((each) => namesAt(each, path));
  }
  if (part === undefined) return typeof value === 'string' && value !== '' ? [value] : [];
  return typeof value === 'object' && value !== null ? namesAt((value as Message)[part], rest) : [];
}
