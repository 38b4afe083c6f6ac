/** `--data`: the messages of a call, with the names of what is sent in them. */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { EXIT, Failure, oneLine, usage } from '../failure.js';
import { checkMessage, type Message, NameWriter } from './fields.js';
import type { Method } from './schema.js';
import type { Sent } from './sends.js';

/** The messages that the call sends. Where there are more descriptors than places in them, a stream gets further messages. */
export async function* requestsOf(
  method: Method,
  data: string | undefined,
  sends: readonly Sent[],
): AsyncGenerator<Buffer> {
  const writer = new NameWriter();
  let left = [...sends];
  const place = (message: Message) => {
    left = left.filter(({ field, name }) => !writer.put(message, method.requestType, field, name));
    return serialize(method, message);
  };
  for await (const value of method.requestStream ? streamOf(data) : [await oneOf(data)]) {
    yield place(checkMessage(value, method.requestType));
  }
  const [next] = left;
  if (next === undefined) return;
  if (!method.requestStream) throw usage(`the field ${next.field} takes one descriptor`);
  for (let before = Number.POSITIVE_INFINITY; left.length > 0 && left.length < before; ) {
    before = left.length;
    yield place({});
  }
}

function serialize({ serialize: bytesOf, requestType }: Method, message: Message): Buffer {
  try {
    return bytesOf(message);
  } catch (error) {
    throw usage(`the data is no ${requestType.name}: ${oneLine(error)}`);
  }
}

async function oneOf(data = '{}'): Promise<unknown> {
  return parseJson(data === '-' ? await text(process.stdin) : contentOf(data));
}

async function* streamOf(data: string | undefined): AsyncGenerator<unknown> {
  if (data === undefined) return;
  if (data === '-') {
    for await (const line of createInterface({ input: process.stdin })) {
      if (line.trim() !== '') yield parseJson(line);
    }
    return;
  }
  const content = contentOf(data);
  // One message may be written over several lines.
  if (isJson(content)) yield JSON.parse(content);
  else for (const line of content.split('\n')) if (line.trim() !== '') yield parseJson(line);
}

function isJson(content: string): boolean {
  try {
    JSON.parse(content);
    return true;
  } catch {
    return false;
  }
}

function contentOf(data: string): string {
  if (!data.startsWith('@')) return data;
  try {
    return readFileSync(data.slice(1), 'utf8');
  } catch (error) {
    throw new Failure(oneLine(error), EXIT.noInput, { cause: error });
  }
}

function parseJson(content: string): unknown {
  try {
    return JSON.parse(content);
  } catch (error) {
    throw usage(`the data is not JSON: ${oneLine(error)}`);
  }
}
