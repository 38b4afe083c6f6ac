import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { trackDescriptors } from '../support/fd-table.js';

trackDescriptors();

/** A message of google-protobuf: its fields are behind getters. */
class WithGetters {
  getFile(): string {
    return 'fd:nobody:1';
  }
}

test('recvFiles names the field that a message does not have', async () => {
  using fds = grpcfd.callCredentials();
  const cases = [
    [new WithGetters(), 'file', /^the field "file" of the message is undefined\. .*message\.toObject\(\)/],
    [new WithGetters(), 'getFile', /^the field "getFile" of the message is a function\./],
    [{ file: null }, 'file', /^the field "file" of the message is null\./],
  ] as const;
  for (const [message, field, text] of cases) {
    await assert.rejects(fds.recvFiles(message as never, [field as never]), {
      reason: 'ERR_GRPCFD_INVALID_ARGUMENT',
      message: text,
    });
  }
});

test('recvFile tells what it was given instead of a name', async () => {
  using fds = grpcfd.callCredentials();
  await assert.rejects(fds.recvFile(undefined as never), {
    reason: 'ERR_GRPCFD_INVALID_ARGUMENT',
    message: /^a descriptor is received by .*, not by undefined/,
  });
});
