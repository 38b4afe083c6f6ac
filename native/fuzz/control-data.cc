// Any bytes as control data.
#include "control-data.h"

#include <cstddef>
#include <cstdint>

#include "check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  grpcfd::ControlReader reader(data, size);
  const uint8_t* behind_last = data;
  uint32_t sum = 0;
  for (grpcfd::ControlItem item; reader.Next(&item);) {
    grpcfd::Check(item.data > behind_last && item.data + item.size <= data + size);
    for (size_t i = 0; i < item.DescriptorCount(); i++) sum += static_cast<uint32_t>(item.Descriptor(i));
    behind_last = item.data + item.size;
  }
  // The descriptors have to be read.
  static volatile uint32_t kept;
  kept = sum;
  return 0;
}
