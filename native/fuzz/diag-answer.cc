// Any bytes as the answer of the module unix_diag.
#include "diag-answer.h"

#include <cstring>
#include <initializer_list>

#include "check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const uint16_t type : {uint16_t{0}, uint16_t{1}, uint16_t{2}}) {
    uint8_t value[8] = {};
    if (!grpcfd::ReadDiagAttribute(data, size, type, value, sizeof(value))) continue;
    // It is somewhere in the answer, after its header.
    grpcfd::Check(memmem(data, size, value, sizeof(value)) != nullptr);
  }
  return 0;
}
