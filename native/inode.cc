#include <cerrno>
#include <charconv>
#include <cstdint>
#include <sys/stat.h>

#include "arguments.h"
#include "define.h"
#include "functions.h"
#include "system-error.h"

namespace grpcfd {
namespace {

// Two 64-bit numbers have up to 20 digits each.
constexpr size_t kDigits = 20;

napi_value Inode(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  struct stat status;
  if (fstat(fd, &status) != 0) return ThrowSystemError(env, errno, "fstat");
  char text[2 * kDigits + 1];
  char* end = std::to_chars(text, text + kDigits, uint64_t{status.st_dev}).ptr;
  *end++ = '/';
  end = std::to_chars(end, end + kDigits, uint64_t{status.st_ino}).ptr;
  napi_value result = nullptr;
  napi_create_string_latin1(env, text, static_cast<size_t>(end - text), &result);
  return result;
}

}  // namespace

bool DefineInodeFunction(napi_env env, napi_value exports) {
  return Define(env, exports, {{"inode", Inode}});
}

}  // namespace grpcfd
