// The socket file that libuv would remove. A listening stream of libuv keeps the path that it was bound to in `pipe_fname`, a public field
// of `uv_pipe_t`, and unlinks it when it is closed. There is no function of libuv that prevents it.

#include <cstring>
#include <utility>

#include "arguments.h"
#include "define.h"
#include "environment.h"
#include "functions.h"
#include "libuv.h"
#include "node-stream.h"

namespace grpcfd {
namespace {

// keepSocketFile(fd): the path, or undefined where libuv would remove nothing.
napi_value KeepSocketFile(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  uv_pipe_t* pipe = FindPipe(Environment::Of(env).loop(), fd);
  napi_value result = nullptr;
  napi_get_undefined(env, &result);
  if (pipe == nullptr || pipe->pipe_fname == nullptr) return result;
  // It is not freed: libuv has allocated it, perhaps not with malloc. These are 108 bytes at most, once for each server.
  const char* path = std::exchange(pipe->pipe_fname, nullptr);
  napi_create_buffer_copy(env, strlen(path), path, nullptr, &result);
  return result;
}

}  // namespace

bool DefinePipeNameFunction(napi_env env, napi_value exports) {
  return Define(env, exports, {{"keepSocketFile", KeepSocketFile}});
}

}  // namespace grpcfd
