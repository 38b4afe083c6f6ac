/**
 * The Huffman code of HPACK (RFC 7541, appendix B). It is canonical: shorter codes come first, and those of one length are in the order of
 * their symbols. So the lengths tell the whole code.
 */

/** The length of the code of each byte, and of the end of the string at last, in base 36. */
const LENGTHS =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad67777777777777777777777878djde6' +
  'f56565666577666567655677777fbedskmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn' +
  'qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu';

const LONGEST = 30;
const END_OF_STRING = 256;

/** For each length: the first code, the number of codes, and where their symbols are in {@link SYMBOLS}. */
const FIRST_CODES: number[] = [];
const COUNTS: number[] = [];
const OFFSETS: number[] = [];
const SYMBOLS: number[] = [];

let nextCode = 0;
for (let length = 0; length <= LONGEST; length++) {
  nextCode *= 2;
  FIRST_CODES.push(nextCode);
  OFFSETS.push(SYMBOLS.length);
  for (let symbol = 0; symbol <= END_OF_STRING; symbol++) {
    if (Number.parseInt(LENGTHS[symbol] ?? '', 36) === length) SYMBOLS.push(symbol);
  }
  COUNTS.push(SYMBOLS.length - (OFFSETS[length] ?? 0));
  nextCode += COUNTS[length] ?? 0;
}

/** @throws RangeError where the bytes are not a string in this code */
export function decodeHuffman(bytes: Uint8Array): Buffer {
  const decoded: number[] = [];
  let code = 0;
  let length = 0;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      code = code * 2 + ((byte >> bit) & 1);
      length++;
      const index = code - (FIRST_CODES[length] ?? Number.POSITIVE_INFINITY);
      if (index < 0 || index >= (COUNTS[length] ?? 0)) {
        if (length >= LONGEST) throw new RangeError('a code of the Huffman code does not exist');
        continue;
      }
      const symbol = SYMBOLS[(OFFSETS[length] ?? 0) + index] ?? END_OF_STRING;
      if (symbol === END_OF_STRING) throw new RangeError('the end of a string stands in the string');
      decoded.push(symbol);
      code = 0;
      length = 0;
    }
  }
  // The rest of the last byte are ones, as the code for the end begins.
  if (length > 7 || code !== 2 ** length - 1) throw new RangeError('the padding of a string is wrong');
  return Buffer.from(decoded);
}
