import assert from 'node:assert/strict';
import { closeSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { decodeFields, encodeBytes } from '#src/cli/call/wire.js';
import { closeAll, native } from '#src/native/binding.js';
import { certificates } from '../support/certificates.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { freshAddress } from '../support/service.js';
import { fileWith, temporaryDirectory } from '../support/temporary.js';
import { fileDescriptors, PROTO, serveStore } from './store.js';
import { tool } from './tool.js';

trackDescriptors();

function file(content: string): string {
  const path = join(temporaryDirectory(), 'file:with:colons');
  writeFileSync(path, content);
  return path;
}

/** A call of Put that succeeds: its reply. */
async function put(address: string, args: readonly string[], options: Parameters<typeof tool>[1] = {}) {
  const { code, stdout, stderr } = await tool(
    ['call', address, 'store.Store/Put', '--proto', PROTO, ...args],
    options,
  );
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  return JSON.parse(stdout);
}

test('a file is sent by its path, and its name put into the message', async () => {
  const { text } = await put(await serveStore(), ['--send', `file=${file('hello')}`]);
  assert.equal(text, '|hello');
});

test('descriptors get their fields: lists, inner messages, lists of messages; and --data has the rest', async () => {
  const [a, b, c] = [file('a'), file('b'), file('c')];
  const sends = [
    `files=${a}`,
    `files=${b}`,
    `inner.file=${c}`,
    `list.file=${a}`,
    `list.file=${b}`,
    `list.2.file=${c}`,
  ];
  const reply = await put(await serveStore(), [
    ...sends.flatMap((each) => ['--send', each]),
    '--data',
    '{"displayName":"x"}',
  ]);
  assert.equal(reply.text, 'x|a|b|c|a|b|c');
});

test('the data can come from a file and from the standard input', async () => {
  const address = await serveStore();
  const send = ['--send', `file=${file('hello')}`];
  const json = file('{"display_name": "y"}');
  assert.equal((await put(address, [...send, '--data', `@${json}`])).text, 'y|hello');
  const reply = await put(address, [...send, '--data', '-'], { stdin: '{"display_name": "z"}' });
  assert.equal(reply.text, 'z|hello');
});

test('an inherited descriptor and the standard input are sent', async () => {
  const address = await serveStore();
  const fd = fileWith('inherited');
  defer(() => closeSync(fd));
  assert.equal((await put(address, ['--send', 'file=fd:3'], { inherited: [fd] })).text, '|inherited');
  assert.equal((await put(address, ['--send', 'file=-'], { stdin: 'piped' })).text, '|piped');
});

test('an end of a pipe is sent that is inherited under two numbers', async () => {
  const [out, into] = native.testing.pipe();
  writeSync(into, 'piped');
  closeAll([into]);
  defer(() => closeAll([out]));
  const reply = await put(await serveStore(), ['--send', 'file=fd:3'], { inherited: [out, out] });
  assert.equal(reply.text, '|piped');
});

test('a descriptor that Node.js or the tool itself has open is refused, and an inherited one with a high number is sent', async () => {
  const address = await serveStore();
  const fd = fileWith('inherited');
  defer(() => closeSync(fd));
  const inherited: number[] = [];
  inherited[30] = fd;
  assert.equal((await put(address, ['--send', 'file=fd:33'], { inherited })).text, '|inherited');
  const args = ['call', address, 'store.Store/Put', '--proto', PROTO, '--deadline', '5s', '--send'];
  for (const number of [3, 4, 5, 9, 20]) {
    const { code, stderr } = await tool([...args, `file=fd:${number}`]);
    assert.deepEqual([code, stderr.includes('did not inherit it')], [66, true], `fd:${number}: ${stderr}`);
  }
});

test('flags open a file with O_PATH, and a socket file is opened so by itself', async () => {
  const address = await serveStore();
  assert.equal((await put(address, ['--send', `file=${file('')}:path`])).text, '|file by path');
  assert.equal((await put(address, ['--send', `file=${address.slice(5)}`])).text, '|socket by path');
});

test('what is received is described', async () => {
  const path = file('hello');
  const reply = await put(await serveStore(), ['--send', `file=${path}`, '--receive', 'file']);
  assert.equal(reply.message.text, '|hello');
  const [{ name, ...described }] = reply.received;
  assert.equal(name, reply.message.file);
  assert.deepEqual(described, { field: 'file', kind: 'file', access: 'read', size: 5, path });
});

test('what is received is written to a file, and to stdout with the reply on stderr', async () => {
  const address = await serveStore();
  const content = 'x'.repeat(300_000);
  const to = join(temporaryDirectory(), 'out');
  const reply = await put(address, ['--send', `file=${file(content)}`, '--receive', `file=${to}`]);
  assert.equal(reply.received[0].writtenTo, to);
  assert.equal(readFileSync(to, 'utf8'), content);
  const args = ['call', address, 'store.Store/Put', '--proto', PROTO];
  const piped = await tool([...args, '--send', `file=${file(content)}`, '--receive', 'file=-']);
  assert.equal(piped.code, 0);
  assert.equal(piped.stdout, content);
  assert.equal(JSON.parse(piped.stderr).received[0].size, content.length);
});

test('a stream takes a message from each line, and a file for each message, and prints a line for each reply', async () => {
  const address = await serveStore();
  const directory = temporaryDirectory();
  const { code, stdout, stderr } = await tool(
    [
      ...['call', address, 'store.Store/Echo', '--proto', PROTO, '--data', '-'],
      ...['a', 'b', 'c'].flatMap((each) => ['--send', `file=${file(each)}`]),
      ...['--receive', `file=${join(directory, 'out')}`],
    ],
    { stdin: '{"display_name":"first"}\n\n{"display_name":"second"}\n' },
  );
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  const replies = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    replies.map(({ message }) => message.text),
    ['first', 'second', ''],
  );
  assert.deepEqual(
    ['out', 'out.1', 'out.2'].map((name) => readFileSync(join(directory, name), 'utf8')),
    ['a', 'b', 'c'],
  );
});

test('a message without a file in a stream has none', async () => {
  const args = ['call', await serveStore(), 'store.Store/Echo', '--proto', PROTO, '--receive', 'file'];
  const { stdout } = await tool([...args, '--data', '{"display_name":"a"}\n{"display_name":"b"}']);
  assert.equal(
    stdout,
    '{"message":{"text":"a: none"},"received":[]}\n{"message":{"text":"b: none"},"received":[]}\n',
  );
});

test('TLS and mutual TLS, with a certificate that is given', async () => {
  const { server, client } = await certificates();
  const directory = temporaryDirectory();
  const pem = (name: string, content: Buffer) => {
    writeFileSync(join(directory, name), content);
    return join(directory, name);
  };
  const ca = ['--tls', '--ca', pem('ca', server.cert)];
  const own = ['--cert', pem('cert', client.cert), '--key', pem('key', client.key)];
  const send = ['--send', `file=${file('secret')}`];
  assert.equal((await put(await serveStore({ security: 'TLS' }), [...ca, ...send])).text, '|secret');
  const mutual = await serveStore({ security: 'mutual TLS' });
  assert.equal((await put(mutual, [...ca, ...own, ...send])).text, '|secret');
});

test('a descriptor set defines the method, too', async () => {
  const set = join(temporaryDirectory(), 'set');
  writeFileSync(set, Buffer.concat(fileDescriptors().map((each) => encodeBytes(1, each))));
  const address = await serveStore();
  const args = [
    'call',
    address,
    'store.Store/Put',
    '--descriptor-set',
    set,
    '--send',
    `file=${file('hello')}`,
  ];
  const { code, stdout } = await tool(args);
  assert.equal(code, 0);
  assert.equal(JSON.parse(stdout).text, '|hello');
});

const asIs = (bytes: Buffer) => bytes;

/** A reflection service of one version. */
function addReflection(version: string) {
  return (server: grpc.Server) => {
    const method = {
      path: `/${version}.ServerReflection/ServerReflectionInfo`,
      requestStream: true,
      responseStream: true,
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
    };
    server.addService({ ServerReflectionInfo: method } as unknown as grpc.ServiceDefinition, {
      ServerReflectionInfo: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
        call.on('data', (request: Buffer) => {
          const symbol = decodeFields(request)
            .find(({ number }) => number === 4)
            ?.bytes.toString();
          const files = Buffer.concat(fileDescriptors().map((each) => encodeBytes(1, each)));
          const unknown = Buffer.concat([Buffer.of(8, 5), encodeBytes(2, 'no such symbol')]);
          call.write(symbol === 'store.Store' ? encodeBytes(4, files) : encodeBytes(7, unknown));
        });
        call.on('end', () => call.end());
      },
    });
  };
}

for (const version of ['grpc.reflection.v1', 'grpc.reflection.v1alpha']) {
  test(`${version} tells the method`, async () => {
    const address = await serveStore({ more: addReflection(version) });
    const { code, stdout } = await tool([
      ...['call', address, 'store.Store/Put', '--reflection', '--send', `file=${file('hello')}`],
    ]);
    assert.equal(code, 0);
    assert.equal(JSON.parse(stdout).text, '|hello');
    const unknown = await tool(['call', address, 'store.Stare/Put', '--reflection']);
    assert.equal(unknown.code, grpc.status.NOT_FOUND);
    assert.match(unknown.stderr, /does not know store\.Stare: NOT_FOUND: no such symbol/);
  });
}

test('a server without reflection is told so', async () => {
  const { code, stderr } = await tool(['call', await serveStore(), 'store.Store/Put', '--reflection']);
  assert.equal(code, grpc.status.UNIMPLEMENTED);
  assert.match(stderr, /the server has no reflection service: use --proto/);
});

test('the exit code is the gRPC status, and its text one line', async () => {
  const args = ['store.Store/Put', '--proto', PROTO];
  const failed = await tool(['call', await serveStore(), ...args]);
  assert.deepEqual(failed, { code: 5, stdout: '', stderr: 'grpcfd: NOT_FOUND: no file was sent\n' });
  const nobody = await tool(['call', freshAddress(), ...args]);
  assert.equal(nobody.code, grpc.status.UNAVAILABLE);
  assert.match(nobody.stderr, /^grpcfd: UNAVAILABLE: .*\n$/);
});

test('a deadline ends the call', async () => {
  // The handler reads from a pipe whose other end stays open.
  const [out, into] = native.testing.pipe();
  defer(() => closeAll([out, into]));
  const args = ['call', await serveStore(), 'store.Store/Put', '--proto', PROTO, '--send', 'file=fd:3'];
  const { code, stderr } = await tool([...args, '--deadline', '300ms'], { inherited: [out] });
  assert.equal(code, grpc.status.DEADLINE_EXCEEDED);
  assert.match(stderr, /^grpcfd: DEADLINE_EXCEEDED: .*\n$/);
});

const WRONG: readonly (readonly [args: readonly string[], code: number, text: RegExp])[] = [
  [
    ['--send', 'fil=/x'],
    64,
    /store\.PutRequest has no field fil\. Its strings are: file, files, inner\.file, list\.file/,
  ],
  [
    ['--send', 'inner.fil=/x'],
    64,
    /has no field fil \(inner\.fil\)\. The strings of store\.PutRequest are: file/,
  ],
  [['--send', 'inner=/x'], 64, /the field inner of store\.PutRequest is not a string/],
  [
    ['--send', 'files.4000000000=/x'],
    64,
    /the index "4000000000" of the field files\.4000000000 is more than 1023/,
  ],
  [['--send', 'list.1024.file=/x'], 64, /the index "1024" of the field list\.1024\.file is more than 1023/],
  [['--receive', 'nope'], 64, /store\.PutReply has no field nope/],
  [['--data', '{"x":1}'], 64, /store\.PutRequest has no field x/],
  [['--data', '{'], 64, /the data is not JSON/],
  [['--data', '{"files":"x"}'], 64, /the field files is a list/],
  [['--send', 'file=/dev/null', '--send', 'file=/dev/null'], 64, /the field file takes one descriptor/],
  [['--send', 'file=/no/such/file'], 66, /"\/no\/such\/file" could not be opened: ENOENT/],
  [
    ['--send', 'file=/dev/null:q'],
    66,
    /: "\/dev\/null" exists, and "q" is none of the flags r, r\+, w, w\+, a, a\+, path: ".*" could not be/,
  ],
  [['--proto', 'no-such.proto'], 66, /no-such\.proto cannot be loaded: ENOENT/],
  [['--tls'], 14, /^grpcfd: UNAVAILABLE: the server does not speak TLS: leave --tls out \(/],
  [['--send', 'file=fd:99'], 66, /: descriptor 99 cannot be sent: this process did not inherit it\. npx/],
  [['--data', '@/no/such/file'], 66, /ENOENT/],
  [['--send', 'file=/dev/null', '--receive', 'file=/no/such/file'], 74, /file cannot be written to .*ENOENT/],
];

for (const [args, code, text] of WRONG) {
  test(`grpcfd call … ${args.join(' ')} ends with ${code}`, async () => {
    const result = await tool(['call', await serveStore(), 'store.Store/Put', '--proto', PROTO, ...args]);
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stderr, text);
    assert.match(result.stderr, /^grpcfd: .*\n$/);
  });
}

test('metadata reaches the server, also in binary', async () => {
  const seen: unknown[] = [];
  const method = { requestStream: false, responseStream: false } as const;
  const codec = {
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
  const address = await serveStore({
    more: (server) =>
      server.addService(
        { Put: { ...method, ...codec, path: '/other.Store/Put' } } as grpc.ServiceDefinition,
        {
          Put: (call: grpc.ServerUnaryCall<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) => {
            seen.push(call.metadata.get('key'), call.metadata.get('key-bin'));
            callback(null, Buffer.alloc(0));
          },
        },
      ),
  });
  const other = join(temporaryDirectory(), 'other.proto');
  writeFileSync(
    other,
    'syntax="proto3"; package other; message M {} service Store { rpc Put(M) returns (M); }',
  );
  const args = ['--metadata', 'key=a=b', '--metadata', 'key=c', '--metadata', 'key-bin=AQID'];
  const { code, stdout } = await tool(['call', address, 'other.Store/Put', '--proto', other, ...args]);
  assert.deepEqual({ code, stdout }, { code: 0, stdout: '{}\n' });
  assert.deepEqual(seen, [['a=b, c'], [Buffer.of(1, 2, 3)]]);
});
