/** What the proxy tells of a connection, however its bytes are cut, and whatever fails. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toJson, toLongJson } from '#src/cli/json.js';
import { DescriptorTable, MOST_KEPT } from '#src/cli/proxy/descriptors.js';
import type { Direction, ProxyEvent } from '#src/cli/proxy/events.js';
import { HpackDecoder } from '#src/cli/proxy/hpack.js';
import { Watcher } from '#src/cli/proxy/watcher.js';
import { closeAll } from '#src/native/binding.js';
import { trackDescriptors } from '../support/fd-table.js';
import { callHeaders, FRAME, frame, headers, PREFACE, settings } from '../support/http2-frames.js';
import { randomFrom, seedOfThisRun } from '../support/random.js';
import { fileWith } from '../support/temporary.js';

trackDescriptors();

const END_STREAM = 1;
const END_HEADERS = 4;
const PADDED = 8;
const PRIORITY = 0x20;

type Step = readonly [Direction, Buffer];

/** A call whose frames use all that the proxy has to read, with two descriptors to the server. */
function conversation(): Step[] {
  const body = Buffer.from('xfd:id:0 and fd:connc:2+other:9 and inode://7/7');
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  const message = Buffer.concat([head, body]);
  const cut = 12;
  const block = callHeaders(1, '/a/B', { 'grpcfd-fds': 'conn;id.0.1.1/2' }).subarray(9);
  const allowed = Buffer.of(0, 1, 0, 0, 32, 0);
  return [
    ['to client', frame(FRAME.SETTINGS, 0, 0, allowed)],
    ['to server', PREFACE],
    ['to server', settings()],
    [
      'to server',
      frame(
        FRAME.HEADERS,
        PADDED | PRIORITY,
        1,
        Buffer.concat([
          Buffer.of(3, 0, 0, 0, 0, 1, 0x3f, 0xe1, 0x3f),
          block.subarray(0, 40),
          Buffer.alloc(3),
        ]),
      ),
    ],
    ['to server', frame(FRAME.CONTINUATION, 0, 1)],
    ['to server', frame(FRAME.CONTINUATION, END_HEADERS, 1, block.subarray(40))],
    ['to server', frame(FRAME.UNKNOWN, 0, 0, Buffer.alloc(300))],
    [
      'to server',
      frame(
        FRAME.DATA,
        PADDED,
        1,
        Buffer.concat([Buffer.of(20), message.subarray(0, cut), Buffer.alloc(20)]),
      ),
    ],
    ['to server', frame(FRAME.DATA, PADDED, 1, Buffer.of(0))],
    ['to server', frame(FRAME.DATA, END_STREAM, 1, message.subarray(cut))],
    ['to client', headers(1, { ':status': '200' })],
    ['to client', headers(1, { 'grpc-status': '5', 'grpc-message': 'none' }, true)],
  ];
}

function watch(steps: readonly Step[], pieceBytes: number): ProxyEvent[] {
  const events: ProxyEvent[] = [];
  const watcher = new Watcher(1, (_, event) => events.push(event));
  for (let count = 0; count < 2; count++) watcher.descriptor('to server', fileWith(''));
  for (const [direction, bytes] of steps) {
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      watcher.bytes(direction, bytes.subarray(at, at + pieceBytes));
    }
  }
  watcher.close();
  return events;
}

test('a conversation tells the same, in whole frames and byte by byte', () => {
  const brief = (events: readonly ProxyEvent[]) =>
    events.map((each) =>
      each.event === 'named'
        ? `${each.number} is ${each.name} in the ${each.where}`
        : each.event === 'trouble'
          ? each.trouble
          : each.event === 'end'
            ? `${each.status} ${each.details}`
            : each.event,
    );
  const whole = brief(watch(conversation(), Number.POSITIVE_INFINITY));
  assert.deepEqual(whole, [
    'descriptor',
    'descriptor',
    'protocol',
    'call',
    '1 is fd:id:0 in the metadata',
    '1 is fd:id:0 in the message',
    '2 is fd:connc:2+other:9 in the message',
    'a message names inode://7/7, which has not come',
    'NOT_FOUND none',
    'close',
  ]);
  for (const size of [1, 2, 3, 7, 10, 50]) assert.deepEqual(brief(watch(conversation(), size)), whole);
});

test('whatever ends send, nothing is thrown, and at most one line gives up', () => {
  const seed = seedOfThisRun();
  const random = randomFrom(seed);
  for (let round = 0; round < 2000; round++) {
    const steps = conversation().map(([direction, bytes]): Step => {
      const changed = Buffer.from(bytes);
      for (let count = random(3); count > 0; count--) changed[random(changed.length)] = random(256);
      return [direction, random(20) === 0 ? changed.subarray(0, random(changed.length)) : changed];
    });
    if (random(4) === 0) steps.reverse();
    const events: ProxyEvent[] = [];
    const watcher = new Watcher(1, (_, event) => events.push(event));
    for (const [direction, bytes] of steps) watcher.bytes(direction, bytes);
    watcher.close();
    const given = events.filter((each) => each.event === 'trouble' && /is not decoded/.test(each.trouble));
    assert.ok(given.length <= 1, `GRPCFD_SEED=${seed}`);
    assert.ok(
      !given.some((each) => /a fault of/.test(JSON.stringify(each))),
      `GRPCFD_SEED=${seed} ${toJson(given)}`,
    );
  }
});

test('a fault of the proxy is one line, and does not reach the relay', () => {
  const events: ProxyEvent[] = [];
  const watcher = new Watcher(1, (_, event) => {
    if (event.event === 'call') throw new TypeError('a bug');
    events.push(event);
  });
  for (const [direction, bytes] of conversation()) watcher.bytes(direction, bytes);
  watcher.close();
  assert.deepEqual(
    events.map((each) => (each.event === 'trouble' ? each.trouble : each.event)),
    ['protocol', 'what follows on this connection is not decoded: a fault of grpcfd: a bug', 'close'],
  );
});

test('where nothing can be printed, and a descriptor cannot be looked at, nothing is thrown', () => {
  const watcher = new Watcher(1, () => {
    throw new Error('no output');
  });
  watcher.open('a peer');
  for (const [direction, bytes] of conversation()) watcher.bytes(direction, bytes);
  const fd = fileWith('');
  closeAll([fd]);
  assert.equal(watcher.descriptor('to server', fd), 1);
  watcher.failed('client', new Error());
  watcher.close();
});

test('a table of descriptors keeps the newest, and finds none of those that it forgot', () => {
  const table = new DescriptorTable();
  const count = 3 * MOST_KEPT;
  for (let number = 1; number <= count; number++) {
    const forgotten = table.add(number, `1/${number}`);
    assert.equal(forgotten?.number, number > MOST_KEPT ? number - MOST_KEPT : undefined);
    const added = table.get(number);
    assert.ok(added);
    for (let index = 0; index < 9; index++) table.refer(added, `fd:x${index}:${number}`);
    assert.equal(added.references.length, 4);
  }
  assert.equal(table.unnamed().length, MOST_KEPT);
  for (const [number, kept] of [
    [1, false],
    [count - MOST_KEPT, false],
    [count - MOST_KEPT + 1, true],
  ] as const) {
    assert.equal(table.get(number) !== undefined, kept);
    assert.equal(table.ofInode(`1/${number}`) !== undefined, kept);
    assert.equal(table.ofReference(`fd:x0:${number}`) !== undefined, kept);
  }
});

test('a table for headers is as large as the receiver allows, and 64 KiB at most', () => {
  const sizeOf8Kib = Buffer.of(0x3f, 0xe1, 0x3f);
  const decoder = new HpackDecoder();
  decoder.allow(8192);
  decoder.decode(sizeOf8Kib);
  // The earlier size may be in use for as long as the sender has not heard of the new one.
  decoder.allow(0);
  decoder.decode(sizeOf8Kib);
  assert.throws(() => new HpackDecoder().decode(sizeOf8Kib), /a table of 8192 bytes .* 4096 are allowed/);
  const greedy = new HpackDecoder();
  greedy.allow(2 ** 32 - 1);
  assert.throws(() => greedy.decode(Buffer.of(0x3f, 0xe1, 0xff, 0x3f)), /65536 are allowed/);
});

test('JSON has printable characters alone, and the same value', () => {
  const value = { text: 'a\n\t\x7f\x85\x9b\u200b\u202e\u2028\u2029\ufeff\u{e0001} é ツ 😀', '\u061c': [1] };
  for (const json of [toJson(value), toLongJson(value)]) {
    assert.doesNotMatch(json.replaceAll('\n', ''), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    assert.match(json, /é ツ 😀/);
    assert.deepEqual(JSON.parse(json), value);
  }
  assert.equal(toJson(value).includes('\n'), false);
});
