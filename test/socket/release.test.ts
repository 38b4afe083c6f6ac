/** `FdSocket.release()`: the descriptor is given back, and nothing is lost. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { FdSocket } from 'grpcfd/socket';
import { close, closeAll, native } from '#src/native/binding.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { descriptorsOf, socketOver, socketPair } from '../support/socket-pair.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

const refused = (message: RegExp) => ({ code: 'ERR_INVALID_STATE', message });

test('A released descriptor is the caller’s, and the socket is destroyed', async () => {
  const [a, b] = socketPair();
  const inode = native.inode(a.release());
  assert.equal(a.destroyed, true);
  await once(a, 'close');
  assert.equal(b.readableEnded, false);
  const [fd = -1] = [...Array(64).keys()].filter((each) => {
    try {
      return native.inode(each) === inode;
    } catch {
      return false;
    }
  });
  const again = socketOver(fd);
  again.end('still connected');
  assert.equal(await text(b), 'still connected');
  assert.throws(() => a.release(), refused(/destroyed or released/));
});

test('What comes after a release waits for the next owner, with its descriptors', async () => {
  const [a, b] = socketPair();
  b.write('preamble');
  const [preamble] = (await once(a, 'data')) as [Buffer];
  assert.equal(String(preamble), 'preamble');
  const fd = a.release();
  const file = fileWith('later');
  b.writeWithFds('rest', [file]);
  close(file);
  b.end();
  await once(a, 'close');
  const next = socketOver(fd);
  const fds = descriptorsOf(next);
  assert.equal(await text(next), 'rest');
  assert.deepEqual(fds.splice(0).map(contentOf), ['later']);
});

test('The number can be adopted again in the same turn', async () => {
  const [a, b] = socketPair();
  a.resume();
  let socket = a;
  for (let times = 0; times < 10; times++) {
    socket = new FdSocket({ fd: socket.release() });
    socket.resume();
  }
  defer(() => socket.destroy());
  b.end('through all of them');
  assert.equal(await text(socket), 'through all of them');
});

test('A release in a data listener loses nothing', async () => {
  const [a, b] = socketPair();
  const content = 'x'.repeat(300_000);
  b.end(content);
  let socket = a;
  let got = '';
  for (;;) {
    const [event] = await Promise.race([
      new Promise<['data', Buffer]>((resolve) => {
        socket.once('data', (bytes: Buffer) => {
          got += String(bytes);
          socket = socketOver(socket.release());
          resolve(['data', bytes]);
        });
      }),
      once(socket, 'end').then(() => ['end']),
    ]);
    if (event === 'end') break;
  }
  assert.equal(got, content);
});

test('A release is refused while bytes have been received that nobody has read', async () => {
  const [a, b] = socketPair();
  b.write('unread');
  a.pause();
  a.read(0);
  while (a.readableLength === 0) await new Promise(setImmediate);
  assert.throws(() => a.release(), refused(/6 bytes were received that nobody has read/));
  assert.equal(String(a.read()), 'unread');
  close(a.release());
});

test('A release is refused in a listener for fds, whose bytes are still to come', async () => {
  const [a, b] = socketPair();
  let error: unknown;
  a.on('fds', (fds) => {
    closeAll(fds);
    try {
      close(a.release());
    } catch (reason) {
      error = reason;
    }
  });
  b.writeWithFds('bytes', [0]);
  const [bytes] = (await once(a, 'data')) as [Buffer];
  assert.equal(String(bytes), 'bytes');
  assert.throws(
    () => {
      throw error;
    },
    refused(/still to be delivered/),
  );
  close(a.release());
});

test('A release is refused while something has not been sent, or a character may be cut', async () => {
  const [a, b] = socketPair();
  const sent = a.sendFd(0);
  assert.throws(() => a.release(), refused(/not every descriptor/));
  a.write('x');
  await sent;
  const written = once(a, 'drain');
  a.write(Buffer.alloc(5_000_000));
  assert.throws(() => a.release(), refused(/not everything that was written/));
  b.resume();
  await written;
  a.end();
  assert.throws(() => a.release(), refused(/not everything that was written/));
  await once(a, 'finish');
  close(a.release());

  b.setEncoding('utf8');
  assert.throws(() => b.release(), refused(/setEncoding/));
});
