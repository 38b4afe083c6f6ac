#ifndef GRPCFD_CONTROL_DATA_H_
#define GRPCFD_CONTROL_DATA_H_

#include <cstddef>

namespace grpcfd {

// One piece of the control data that recvmsg has written.
struct ControlItem {
  int level = 0;
  int type = 0;
  const unsigned char* data = nullptr;
  size_t size = 0;

  // Of a piece that consists of descriptors.
  size_t DescriptorCount() const { return size / sizeof(int); }
  int Descriptor(size_t index) const;
};

// Reads control data piece by piece. The macros of the C library trust the length of the first piece. This trusts none: what does not fit is
// cut to what is there, and a piece that is shorter than its own header ends the data.
class ControlReader {
 public:
  // The data stays where it is, and has any alignment.
  ControlReader(const void* data, size_t size) : rest_(static_cast<const unsigned char*>(data)), left_(size) {}

  // False at the end.
  bool Next(ControlItem* item);

 private:
  const unsigned char* rest_;
  size_t left_;
};

}  // namespace grpcfd

#endif  // GRPCFD_CONTROL_DATA_H_
