/** The HPACK decoder against the examples of RFC 7541, appendix C. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type HeaderField, HpackDecoder } from '#src/cli/proxy/hpack.js';
import { decodeHuffman } from '#src/cli/proxy/huffman.js';

interface Block {
  readonly hex: string;
  readonly fields: readonly HeaderField[];
  /** The dynamic table after it, newest first. */
  readonly table: readonly HeaderField[];
  readonly bytes: number;
}

const SERIES: Readonly<Record<string, { readonly maxBytes: number; readonly blocks: readonly Block[] }>> = {
  'C.3 requests without Huffman': {
    maxBytes: 4096,
    blocks: [
      {
        hex: '828684410f7777772e6578616d706c652e636f6d',
        fields: [
          [':method', 'GET'],
          [':scheme', 'http'],
          [':path', '/'],
          [':authority', 'www.example.com'],
        ],
        table: [[':authority', 'www.example.com']],
        bytes: 57,
      },
      {
        hex: '828684be58086e6f2d6361636865',
        fields: [
          [':method', 'GET'],
          [':scheme', 'http'],
          [':path', '/'],
          [':authority', 'www.example.com'],
          ['cache-control', 'no-cache'],
        ],
        table: [
          ['cache-control', 'no-cache'],
          [':authority', 'www.example.com'],
        ],
        bytes: 110,
      },
      {
        hex: '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565',
        fields: [
          [':method', 'GET'],
          [':scheme', 'https'],
          [':path', '/index.html'],
          [':authority', 'www.example.com'],
          ['custom-key', 'custom-value'],
        ],
        table: [
          ['custom-key', 'custom-value'],
          ['cache-control', 'no-cache'],
          [':authority', 'www.example.com'],
        ],
        bytes: 164,
      },
    ],
  },
  'C.4 requests with Huffman': {
    maxBytes: 4096,
    blocks: [
      {
        hex: '828684418cf1e3c2e5f23a6ba0ab90f4ff',
        fields: [
          [':method', 'GET'],
          [':scheme', 'http'],
          [':path', '/'],
          [':authority', 'www.example.com'],
        ],
        table: [[':authority', 'www.example.com']],
        bytes: 57,
      },
      {
        hex: '828684be5886a8eb10649cbf',
        fields: [
          [':method', 'GET'],
          [':scheme', 'http'],
          [':path', '/'],
          [':authority', 'www.example.com'],
          ['cache-control', 'no-cache'],
        ],
        table: [
          ['cache-control', 'no-cache'],
          [':authority', 'www.example.com'],
        ],
        bytes: 110,
      },
      {
        hex: '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
        fields: [
          [':method', 'GET'],
          [':scheme', 'https'],
          [':path', '/index.html'],
          [':authority', 'www.example.com'],
          ['custom-key', 'custom-value'],
        ],
        table: [
          ['custom-key', 'custom-value'],
          ['cache-control', 'no-cache'],
          [':authority', 'www.example.com'],
        ],
        bytes: 164,
      },
    ],
  },
  'C.5 responses without Huffman': {
    maxBytes: 256,
    blocks: [
      {
        hex: '4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d',
        fields: [
          [':status', '302'],
          ['cache-control', 'private'],
          ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'],
          ['location', 'https://www.example.com'],
        ],
        table: [
          ['location', 'https://www.example.com'],
          ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'],
          ['cache-control', 'private'],
          [':status', '302'],
        ],
        bytes: 222,
      },
      {
        hex: '4803333037c1c0bf',
        fields: [
          [':status', '307'],
          ['cache-control', 'private'],
          ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'],
          ['location', 'https://www.example.com'],
        ],
        table: [
          [':status', '307'],
          ['location', 'https://www.example.com'],
          ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'],
          ['cache-control', 'private'],
        ],
        bytes: 222,
      },
      {
        hex: '88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31',
        fields: [
          [':status', '200'],
          ['cache-control', 'private'],
          ['date', 'Mon, 21 Oct 2013 20:13:22 GMT'],
          ['location', 'https://www.example.com'],
          ['content-encoding', 'gzip'],
          ['set-cookie', 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1'],
        ],
        table: [
          ['set-cookie', 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1'],
          ['content-encoding', 'gzip'],
          ['date', 'Mon, 21 Oct 2013 20:13:22 GMT'],
        ],
        bytes: 215,
      },
    ],
  },
  'C.6 responses with Huffman': {
    maxBytes: 256,
    blocks: [
      {
        hex: '488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3',
        fields: [
          [':status', '302'],
          ['cache-control', 'private'],
          ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'],
          ['location', 'https://www.example.com'],
        ],
        table: [
          ['location', 'https://www.example.com'],
          ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'],
          ['cache-control', 'private'],
          [':status', '302'],
        ],
        bytes: 222,
      },
      {
        hex: '4883640effc1c0bf',
        fields: [
          [':status', '307'],
          ['cache-control', 'private'],
          ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'],
          ['location', 'https://www.example.com'],
        ],
        table: [
          [':status', '307'],
          ['location', 'https://www.example.com'],
          ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'],
          ['cache-control', 'private'],
        ],
        bytes: 222,
      },
      {
        hex: '88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007',
        fields: [
          [':status', '200'],
          ['cache-control', 'private'],
          ['date', 'Mon, 21 Oct 2013 20:13:22 GMT'],
          ['location', 'https://www.example.com'],
          ['content-encoding', 'gzip'],
          ['set-cookie', 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1'],
        ],
        table: [
          ['set-cookie', 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1'],
          ['content-encoding', 'gzip'],
          ['date', 'Mon, 21 Oct 2013 20:13:22 GMT'],
        ],
        bytes: 215,
      },
    ],
  },
};

const STRINGS: readonly (readonly [hex: string, text: string])[] = [
  ['f1e3c2e5f23a6ba0ab90f4ff', 'www.example.com'],
  ['a8eb10649cbf', 'no-cache'],
  ['25a849e95ba97d7f', 'custom-key'],
  ['25a849e95bb8e8b4bf', 'custom-value'],
  ['6402', '302'],
  ['aec3771a4b', 'private'],
  ['d07abe941054d444a8200595040b8166e082a62d1bff', 'Mon, 21 Oct 2013 20:13:21 GMT'],
  ['9d29ad171863c78f0b97c8e9ae82ae43d3', 'https://www.example.com'],
  ['9bd9ab', 'gzip'],
  [
    '94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007',
    'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
  ],
];

for (const [name, { maxBytes, blocks }] of Object.entries(SERIES)) {
  test(name, () => {
    const decoder = new HpackDecoder(maxBytes);
    for (const { hex, fields, table, bytes } of blocks) {
      assert.deepEqual(decoder.decode(Buffer.from(hex, 'hex')), fields);
      assert.deepEqual(decoder.table, { fields: table, bytes });
    }
  });
}

const C2: readonly (readonly [name: string, hex: string, field: HeaderField, remembered: boolean])[] = [
  ['C.2.1', '400a637573746f6d2d6b65790d637573746f6d2d686561646572', ['custom-key', 'custom-header'], true],
  ['C.2.2', '040c2f73616d706c652f70617468', [':path', '/sample/path'], false],
  ['C.2.3', '100870617373776f726406736563726574', ['password', 'secret'], false],
  ['C.2.4', '82', [':method', 'GET'], false],
];

for (const [name, hex, field, remembered] of C2) {
  test(name, () => {
    const decoder = new HpackDecoder();
    assert.deepEqual(decoder.decode(Buffer.from(hex, 'hex')), [field]);
    assert.deepEqual(decoder.table.fields, remembered ? [field] : []);
  });
}

test('the strings of the examples', () => {
  for (const [hex, text] of STRINGS) assert.equal(decodeHuffman(Buffer.from(hex, 'hex')).toString(), text);
});

test('an integer of several bytes (C.1.2), as the size of the table', () => {
  const decoder = new HpackDecoder();
  decoder.decode(Buffer.from('400a637573746f6d2d6b65790d637573746f6d2d686561646572', 'hex'));
  decoder.decode(Buffer.of(0x3f, 0x9a, 0x0a));
  assert.equal(decoder.table.fields.length, 1);
  decoder.decode(Buffer.of(0x20));
  assert.deepEqual(decoder.table, { fields: [], bytes: 0 });
});

const MALFORMED: Readonly<Record<string, string>> = {
  'an index that no table has': 'ff00',
  'index 0': '80',
  'a string that is cut off': '400a6375',
  'an integer that is cut off': 'ff80',
  'an integer without an end': 'ffffffffffffffffff',
  'padding of a whole byte': '0082ffff0161',
  'padding that is not ones': '00810001 61'.replace(' ', ''),
  'the code for the end of a string': '0084ffffffff0161',
  'a table that is too large': '3fffffff7f',
};

for (const [what, hex] of Object.entries(MALFORMED)) {
  test(`${what} is refused`, () => {
    assert.throws(() => new HpackDecoder().decode(Buffer.from(hex, 'hex')), RangeError);
  });
}
