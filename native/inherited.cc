#include <mutex>
#include <set>

#include "arguments.h"
#include "define.h"
#include "functions.h"
#include "stay-loaded.h"

namespace grpcfd {
namespace {

// What a number stands for at the start of a process is a fact of the process, and so is that it was adopted: after that, the kernel
// gives the number to any other file. So this is the one thing here that all threads of the process share.
struct Adopted {
  std::mutex mutex;
  std::set<int> numbers;
};

// It is never destroyed: a thread may still run at the exit of the process.
Adopted& AdoptedNumbers() {
  static auto* adopted = new Adopted;
  return *adopted;
}

// claimInherited(fd): whether nobody in this process has claimed the number before.
napi_value ClaimInherited(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  StayLoaded();
  Adopted& adopted = AdoptedNumbers();
  const std::lock_guard<std::mutex> lock(adopted.mutex);
  napi_value result = nullptr;
  napi_get_boolean(env, adopted.numbers.insert(fd).second, &result);
  return result;
}

}  // namespace

bool DefineInheritedFunction(napi_env env, napi_value exports) {
  return Define(env, exports, {{"claimInherited", ClaimInherited}});
}

}  // namespace grpcfd
