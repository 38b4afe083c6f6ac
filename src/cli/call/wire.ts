/** As much of the protocol buffer wire format as reflection needs. */

const VARINT = 0;
const I64 = 1;
const LENGTH_DELIMITED = 2;
const I32 = 5;

export interface WireField {
  readonly number: number;
  /** Empty for numbers. */
  readonly bytes: Buffer;
  /** 0 for what is not a number. */
  readonly value: number;
}

export function encodeBytes(number: number, content: string | Uint8Array): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([varint(number * 8 + LENGTH_DELIMITED), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

/** The fields of a message. Fails with a RangeError where it is cut off. */
export function decodeFields(message: Buffer): WireField[] {
  const fields: WireField[] = [];
  let at = 0;
  const readVarint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      if (factor >= 2 ** 70) throw new RangeError('a number is too long');
      const byte = message.readUInt8(at++);
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  const skip = (length: number) => {
    if (at + length > message.length) throw new RangeError('the message is cut off');
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const tag = readVarint();
    const number = Math.floor(tag / 8);
    const type = tag % 8;
    if (type === VARINT) fields.push({ number, value: readVarint(), bytes: Buffer.alloc(0) });
    else if (type === LENGTH_DELIMITED) fields.push({ number, value: 0, bytes: skip(readVarint()) });
    else if (type === I64) skip(8);
    else if (type === I32) skip(4);
    else throw new RangeError(`the wire type ${type} is not known`);
  }
  return fields;
}
