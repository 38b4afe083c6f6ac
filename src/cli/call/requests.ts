/** `--data`: the messages of a call, with the names of what is sent in them. */
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { oneLine, usage } from '../failure.js';
import type { Deadline } from './deadline.js';
import { checkMessage, type Message, NameWriter } from './fields.js';
import { readInput } from './files.js';
import type { Method } from './schema.js';
import type { Sent } from './sends.js';

/** The messages that the call sends. Where there are more descriptors than places in them, a stream gets further messages. */
export async function* requestsOf(
  method: Method,
  data: string | undefined,
  sends: readonly Sent[],
  deadline: Deadline,
): AsyncGenerator<Buffer> {
  const writer = new NameWriter();
  let left = [...sends];
  const place = (message: Message) => {
    left = left.filter(({ field, name }) => !writer.put(message, method.requestType, field, name));
    return serialize(method, message);
  };
  for await (const value of method.requestStream ? streamOf(data, deadline) : [await oneOf(data, deadline)]) {
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

const STDIN = 'the end of the standard input (--data -)';

async function oneOf(data = '{}', deadline: Deadline): Promise<unknown> {
  const content = data === '-' ? deadline.during(STDIN, text(process.stdin)) : contentOf(data, deadline);
  return parseJson(await content);
}

async function* streamOf(data: string | undefined, deadline: Deadline): AsyncGenerator<unknown> {
  if (data === undefined) return;
  if (data === '-') {
    const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    for (;;) {
      const { done, value: line } = await deadline.during(STDIN, lines.next());
      if (done === true) return;
      if (line.trim() !== '') yield parseJson(line);
    }
  }
  const content = await contentOf(data, deadline);
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

async function contentOf(data: string, deadline: Deadline): Promise<string> {
  return data.startsWith('@') ? String(await readInput(data.slice(1), deadline)) : data;
}

function parseJson(content: string): unknown {
  try {
    return JSON.parse(content);
  } catch (error) {
    throw usage(`the data is not JSON: ${oneLine(error)}`);
  }
}
