#include "stay-loaded.h"

#include <dlfcn.h>

#include <mutex>

namespace grpcfd {

void StayLoaded() {
  static std::once_flag once;
  std::call_once(once, [] {
    Dl_info self;
    if (dladdr(reinterpret_cast<void*>(&StayLoaded), &self) != 0) {
      dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    }
  });
}

}  // namespace grpcfd
