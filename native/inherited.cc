#include <atomic>
#include <mutex>
#include <set>

#include "arguments.h"
#include "define.h"
#include "environment.h"
#include "functions.h"
#include "inherited.h"
#include "stay-loaded.h"

namespace grpcfd {
namespace {

// What a number stands for at the start of a process is a fact of the process, and so is that it was adopted: after that, the kernel
// gives the number to any other file. So this is the one thing here that all threads of the process share.
struct Adopted {
  std::mutex mutex;
  std::set<int> numbers;
  // Of these, the ones that belong to a file that the user was given since.
  std::set<int> given_out;
  // Most processes adopt nothing. They do not take the mutex.
  std::atomic<bool> any{false};

  bool IsUsedUp(int fd, bool as_listener) const {
    return numbers.count(fd) > 0 && !(as_listener && given_out.count(fd) > 0);
  }
};

// It is never destroyed: a thread may still run at the exit of the process.
Adopted& AdoptedNumbers() {
  static auto* adopted = new Adopted;
  return *adopted;
}

napi_value MakeBool(napi_env env, bool value) {
  napi_value result = nullptr;
  napi_get_boolean(env, value, &result);
  return result;
}

// isUsedUp(fd, asListener): see src/native/types.ts.
napi_value IsUsedUp(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  bool as_listener = false;
  if (!arguments.Int(0, &fd) || !arguments.Bool(1, &as_listener)) return nullptr;
  Adopted& adopted = AdoptedNumbers();
  const std::lock_guard<std::mutex> lock(adopted.mutex);
  return MakeBool(env, adopted.IsUsedUp(fd, as_listener));
}

// claimInherited(fd, asListener): see src/native/types.ts.
napi_value ClaimInherited(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  bool as_listener = false;
  if (!arguments.Int(0, &fd) || !arguments.Bool(1, &as_listener)) return nullptr;
  StayLoaded();
  Adopted& adopted = AdoptedNumbers();
  const std::lock_guard<std::mutex> lock(adopted.mutex);
  if (adopted.IsUsedUp(fd, as_listener)) return MakeBool(env, false);
  adopted.any = true;
  adopted.numbers.insert(fd);
  adopted.given_out.erase(fd);
  return MakeBool(env, true);
}

// isInUse(fd): see src/native/types.ts.
napi_value IsInUse(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  return MakeBool(env, Environment::Of(env).IsInUse(fd));
}

}  // namespace

void GiveOut(int fd) {
  Adopted& adopted = AdoptedNumbers();
  if (!adopted.any) return;
  const std::lock_guard<std::mutex> lock(adopted.mutex);
  if (adopted.numbers.count(fd) > 0) adopted.given_out.insert(fd);
}

bool DefineInheritedFunction(napi_env env, napi_value exports) {
  return Define(env, exports,
                {{"isUsedUp", IsUsedUp}, {"claimInherited", ClaimInherited}, {"isInUse", IsInUse}});
}

}  // namespace grpcfd
