// What the fuzzers start from, for each of them: `npm run fuzz` writes it into build/fuzz. It is as the kernel of a machine with 64 bits writes it.

const SOL_SOCKET = 1;
const [SCM_RIGHTS, SCM_CREDENTIALS, SCM_PIDFD] = [1, 2, 4];
const [AF_UNIX, AF_INET, AF_INET6, AF_VSOCK] = [1, 2, 10, 40];

const padded = (bytes, to) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & (to - 1))]);
const int32s = (...numbers) => Buffer.from(Int32Array.from(numbers).buffer);
const uint16s = (...numbers) => Buffer.from(Uint16Array.from(numbers).buffer);

function piece(level, type, data, length = data.length + 16) {
  const header = Buffer.alloc(16);
  header.writeBigUInt64LE(BigInt(length));
  header.writeInt32LE(level, 8);
  header.writeInt32LE(type, 12);
  return padded(Buffer.concat([header, data]), 8);
}

const rights = piece(SOL_SOCKET, SCM_RIGHTS, int32s(5, 6, 7));
const credentials = piece(SOL_SOCKET, SCM_CREDENTIALS, int32s(1, 0, 0));

/** The first two bytes are the size that the kernel tells. */
const socketName = (family, rest, size = rest.length + 2) => Buffer.concat([uint16s(size, family), rest]);

function diagAnswer(...attributes) {
  const body = Buffer.concat([Buffer.alloc(16), ...attributes]);
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + body.length);
  header.writeUInt16LE(20, 4); // SOCK_DIAG_BY_FAMILY
  return Buffer.concat([header, body]);
}

const attribute = (type, data, length = data.length + 4) =>
  padded(Buffer.concat([uint16s(length, type), data]), 4);

function entry(name, type) {
  const header = Buffer.alloc(19);
  const text = padded(Buffer.concat([header, Buffer.from(`${name}\0`)]), 8);
  text.writeBigUInt64LE(77n);
  text.writeUInt16LE(text.length, 16);
  text[18] = type;
  return text;
}

export const SEEDS = {
  'control-data': [
    rights,
    Buffer.concat([credentials, rights, piece(SOL_SOCKET, SCM_PIDFD, int32s(9))]),
    Buffer.concat([rights, rights]),
    piece(41, 50, Buffer.from('a foreign level')),
    // A length that is more than there is, less than a header, and the largest.
    piece(SOL_SOCKET, SCM_RIGHTS, int32s(5), 400),
    piece(SOL_SOCKET, SCM_RIGHTS, int32s(5), 3),
    Buffer.concat([Buffer.alloc(8, 0xff), rights.subarray(8)]),
  ],
  message: [
    Buffer.concat([rights, Buffer.from([1, 0, 0, 1])]),
    Buffer.from('several pieces, made of this text'),
    Buffer.alloc(64, 2),
  ],
  'proc-lines': [
    Buffer.from('22 27 0:21 / /proc rw,nosuid shared:5 - proc proc rw\n'),
    Buffer.from(
      '27 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw\n30 27 0:26 / /a\\040-\\040b rw - tmpfs tmpfs rw',
    ),
    Buffer.from('18446744073709551615 1 4294967295:4294967295 / / rw - xfs x rw\n'),
    Buffer.from(
      '/dev/tty             /dev/tty        5       0 system:/dev/tty\nserial               /dev/ttyS       4 64-95 serial\n',
    ),
  ],
  'socket-name': [
    socketName(AF_UNIX, Buffer.from('/run/service.sock\0')),
    socketName(AF_UNIX, Buffer.from('\0abstract\0name')),
    socketName(AF_UNIX, Buffer.alloc(108, 0x61), 111),
    socketName(AF_UNIX, Buffer.alloc(0)),
    socketName(AF_INET, Buffer.from([0x1f, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])),
    socketName(
      AF_INET6,
      Buffer.concat([Buffer.from([0x1f, 0x90]), Buffer.alloc(4), Buffer.alloc(16, 0xfe), int32s(3)]),
    ),
    socketName(AF_VSOCK, Buffer.concat([Buffer.alloc(2), int32s(8080, 2), Buffer.alloc(4)])),
  ],
  'unix-address': [
    Buffer.from('/run/service.sock'),
    Buffer.from('\0abstract'),
    Buffer.alloc(108, 0x61),
    Buffer.alloc(109, 0x61),
  ],
  'diag-answer': [
    diagAnswer(attribute(1, int32s(77, 2049)), attribute(2, int32s(99, 1))),
    diagAnswer(attribute(2, int32s(99, 1), 400)),
    diagAnswer(attribute(7, Buffer.alloc(0)), attribute(1, int32s(1, 2), 0)),
  ],
  'directory-entries': [
    Buffer.concat([entry('.', 4), entry('..', 4), entry('file', 8), entry('a name of some length', 0)]),
    entry('cut', 8).subarray(0, 20),
  ],
};
