import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from '../support/temporary.js';

const native = fileURLToPath(new URL('../../../native', import.meta.url));
const headers = join(dirname(dirname(process.execPath)), 'include/node');
const withoutHeaders = !existsSync(join(headers, 'uv.h')) && 'the headers of Node.js do not lie beside it';

const VALUES = [
  ...['UV_ASYNC', 'UV_CHECK', 'UV_NAMED_PIPE', 'UV_POLL', 'UV_PREPARE', 'UV_TIMER', 'UV_EOF', 'UV_ENOBUFS'],
  ...['UV_READABLE', 'UV_WRITABLE', 'UV_DISCONNECT', 'UV_PRIORITIZED'],
  ...['data', 'loop', 'type', 'close_cb', 'handle_queue', 'write_queue_size', 'alloc_cb', 'read_cb'].map(
    (field) => `offsetof(uv_stream_s, ${field})`,
  ),
  ...['ipc', 'pipe_fname', 'io_watcher.watcher_queue', 'io_watcher.pevents', 'io_watcher.fd'].map(
    (field) => `offsetof(uv_pipe_s, ${field})`,
  ),
  ...['backend_fd', 'handle_queue', 'watcher_queue'].map((field) => `offsetof(uv_loop_s, ${field})`),
  ...['sizeof(uv_buf_t)', 'offsetof(uv_buf_t, base)', 'offsetof(uv_buf_t, len)', 'sizeof(uv_os_fd_t)'],
  ...['sizeof(uv_metrics_t)', 'offsetof(uv_metrics_t, loop_count)'],
];

/** Prints each value, and fails to compile if a function has another type than `declared` says. */
function program(header: string, functions: ReadonlyMap<string, string>): string {
  const types = [...functions].map(
    ([name, type]) => `static_assert(std::is_same<decltype(&${name}), ${type}>::value, "${name}");`,
  );
  const prints = VALUES.map((value) => `  std::printf("${value} %ld\\n", static_cast<long>(${value}));`);
  return [
    ...['#include <cstddef>', '#include <cstdio>', '#include <type_traits>', `#include ${header}`],
    ...types,
    ...['int main() {', ...prints, '  return 0;', '}'],
  ].join('\n');
}

function output(code: string, includes: string): string {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'main.cc'), code);
  const flags = ['-std=c++17', '-Wno-invalid-offsetof', '-I', includes];
  execFileSync('c++', [...flags, join(directory, 'main.cc'), '-o', join(directory, 'main')]);
  return execFileSync(join(directory, 'main'), { encoding: 'utf8' });
}

/** The functions that libuv.h declares, with the types of pointers to them. */
function declaredFunctions(): Map<string, string> {
  const text = readFileSync(join(native, 'libuv.h'), 'utf8');
  const found = [...text.matchAll(/^(\w[\w *]*?)\b(uv_\w+)\(([^)]*)\);$/gm)];
  return new Map(
    found.map(([, result = '', name = '', parameters = '']) => {
      const types = parameters.split(', ').map((parameter) => parameter.replace(/\w+$/, ''));
      return [name, `${result.trim()} (*)(${types.join(', ')})`];
    }),
  );
}

test('libuv.h of the addon agrees with the header of libuv', { skip: withoutHeaders }, () => {
  const functions = declaredFunctions();
  assert.ok(functions.size > 20);
  assert.equal(
    output(program('"libuv.h"', functions), native),
    output(program('<uv.h>', functions), headers),
  );
});

test('Node.js exports every function that the addon needs', () => {
  const addon = { exports: {} };
  process.dlopen(addon, join(native, 'build/Release/grpcfd.node'), constants.dlopen.RTLD_NOW);
  assert.ok(Object.keys(addon.exports).length > 0);
});
